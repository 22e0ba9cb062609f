/** Asks the worker for layouts; only the latest answer counts. */
import type { LayoutRequest, LayoutResult } from "./types";

export class LayoutClient {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private ticket = 0;
  private done: ((result: LayoutResult) => void) | undefined;

  constructor() {
    this.worker.addEventListener("message", (event: MessageEvent<{ ticket: number; result: LayoutResult }>) => {
      if (event.data.ticket !== this.ticket) return;
      this.done?.(event.data.result);
      this.done = undefined;
    });
  }

  /** A later request cancels this one: its `done` is then never called. */
  ask(request: LayoutRequest, done: (result: LayoutResult) => void): void {
    this.ticket += 1;
    this.done = done;
    this.worker.postMessage({ ticket: this.ticket, request });
  }
}
