import { workflowInfo } from '@temporalio/workflow';

import type { Reason } from './failure.ts';

/** What the page of a run says: the line of its name, how it stands, what to do next, and the facts as a table. */
export interface Page {
  readonly title: string;
  /** Begins with a word or two that tell the state: `Now`, `Done`, `Waits`, `Failed`. */
  readonly state: string;
  readonly next: string;
  readonly facts?: readonly (readonly [name: string, value: string])[];
}

/** Markdown drops a line that is really empty. */
const NO_BREAK_SPACE = '\u00a0';

/**
 * The page in Markdown. It ends with an empty line, because the Temporal UI's frame is that much too low for its
 * content; for the same reason the next step stands above the table.
 */
export function pageText({ title, state, next, facts = [] }: Page): string {
  const paragraphs = [title, state, `**Next step:** ${next}`];
  if (facts.length > 0) {
    const rows = facts.map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`);
    paragraphs.push(['| | |', '|---|---|', ...rows].join('\n'));
  }
  return [...paragraphs, NO_BREAK_SPACE].join('\n\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/**
 * Words that are no Markdown but for code in backticks. Without this the Temporal UI would make one long dash of `--`
 * and typographic quotes of straight ones: a command or an example that was copied from the page would not work.
 */
export function asWritten(text: string): string {
  const escape = (words: string): string => words.replace(/["'*<[]|--/g, '\\$&');
  return text.replace(/(`[^`]*`)|[^`]+/g, (part, code: string | undefined) => code ?? escape(part));
}

/** The state of a run that did not come through. */
export function failedState({ code, message }: Reason): string {
  return code === 'cancelled' ? '**Cancelled.**' : `**Failed (${code}):** ${asWritten(message)}`;
}

/** What to do about it: the reason's own hint, or where to look. */
export function mendFirst({ hint }: Reason): string {
  return hint === undefined ? 'look at the step that failed, in the tab History' : asWritten(hint);
}

/** A link to the page of another run. */
export function runLink(workflowId: string, text = workflowId): string {
  return `[${text}](/namespaces/${workflowInfo().namespace}/workflows/${encodeURIComponent(workflowId)})`;
}
