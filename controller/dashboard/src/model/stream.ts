/**
 * The controller's push stream. Each `state` event is a full state; the first comes at once after every (re)connect.
 * The stream is closed while the tab is hidden and opened again when it is shown.
 */
import { DecodeError, decodeState } from "./decode";
import type { State } from "./types";

export type Connection =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "paused" }
  | { kind: "lost"; since: number; why: string };

export interface Listener {
  state(state: State): void;
  connection(connection: Connection): void;
}

const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 5000;

export class Stream {
  private source: EventSource | undefined;
  private timer: number | undefined;
  private retry = RETRY_FIRST_MS;
  private lostSince: number | undefined;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {
    document.addEventListener("visibilitychange", this.visibility);
    this.visibility();
  }

  private readonly visibility = (): void => {
    if (document.hidden) {
      this.close();
      this.listener.connection({ kind: "paused" });
    } else if (!this.source) {
      this.open();
    }
  };

  private open(): void {
    this.close();
    if (this.lostSince === undefined) this.listener.connection({ kind: "connecting" });
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("state", (event: MessageEvent<string>) => this.receive(event.data));
    source.addEventListener("error", () => {
      // The browser's own retry gives up on some errors; one policy for all of them is easier to trust.
      this.close();
      this.lose("the controller does not answer");
    });
  }

  private receive(data: string): void {
    try {
      const state = decodeState(JSON.parse(data));
      this.retry = RETRY_FIRST_MS;
      this.lostSince = undefined;
      this.listener.connection({ kind: "live" });
      this.listener.state(state);
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SyntaxError)) throw error;
      this.lose(`the controller sent a state this page cannot read (${error.message})`);
    }
  }

  private lose(why: string): void {
    this.lostSince ??= Date.now();
    this.listener.connection({ kind: "lost", since: this.lostSince, why });
    if (this.source || document.hidden) return;
    this.timer = window.setTimeout(() => this.open(), this.retry);
    this.retry = Math.min(RETRY_MOST_MS, this.retry * 2);
  }

  private close(): void {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = undefined;
  }
}
