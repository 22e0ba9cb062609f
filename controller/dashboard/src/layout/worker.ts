/** Layouts off the main thread: the page stays live while a large graph is laid out. */
import { layoutAll } from "./boxes";
import type { LayoutRequest, LayoutResult } from "./types";

interface Ask {
  ticket: number;
  request: LayoutRequest;
}

self.addEventListener("message", (event: MessageEvent<Ask>) => {
  const { ticket, request } = event.data;
  const result: LayoutResult = layoutAll(request);
  (self as unknown as { postMessage(message: unknown): void }).postMessage({ ticket, result });
});
