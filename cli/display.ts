import { printable } from './print.ts';
import type { GlobalOptions } from './session.ts';

/** Where a followed run is shown: one line that changes on a terminal, only lasting lines in a log. */
export interface Display {
  /** Whether there is a line that changes. */
  readonly live: boolean;
  /** A line that stays. */
  note(text: string): void;
  /** The line that changes; not shown in logs. */
  status(text: string): void;
  /** Removes the line that changes. */
  clear(): void;
}

const CLEAR_LINE = '\r\u001b[K';

export function openDisplay(options: GlobalOptions): Display {
  const out = process.stderr;
  const live = out.isTTY && !options.quiet;
  let shown = '';
  const draw = (text: string): void => {
    // Longer than the terminal, it would break into lines that cannot be taken back.
    shown = printable(text).slice(0, Math.max((out.columns > 0 ? out.columns : 80) - 1, 20));
    out.write(CLEAR_LINE + shown);
  };
  return {
    live,
    note(text) {
      if (options.quiet) return;
      out.write(`${shown === '' ? '' : CLEAR_LINE}${printable(text)}\n`);
      if (shown !== '') draw(shown);
    },
    status(text) {
      if (live) draw(text);
    },
    clear() {
      if (shown !== '') out.write(CLEAR_LINE);
      shown = '';
    },
  };
}
