/** A sentence of the controller's, with what stands between backticks set as a command. */
export function Said({ text }: { text: string }) {
  return <>{text.split("`").map((piece, i) => (i % 2 === 0 ? piece : <code key={i}>{piece}</code>))}</>;
}
