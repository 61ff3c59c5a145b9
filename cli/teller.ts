import type { Client, WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';

import { searchAttributes } from '../workflows/search-attributes.ts';
import type { Phase } from '../workflows/phase.ts';
import { clock } from './clock.ts';
import type { Display } from './display.ts';
import { Rates, stepInWords, stepsOf, type StepNow } from './progress.ts';
import { standstillOf } from './standstill.ts';

const PHASES: Readonly<Record<Phase, string>> = {
  starting: 'starting',
  waiting: 'waiting',
  preflight: 'looks at the database, the tools and the room',
  dump: 'dumps the database',
  compress: 'compresses the dump',
  copies: 'sends the copies and verifies them',
  compare: 'compares the catalog with its destinations',
  hold: 'writes or removes the hold beside the copies',
  fetch: 'fetches the backup and checks it',
  load: 'loads it under a temporary name and compares it',
  swap: 'swaps the names',
  running: 'running',
  cleaning: 'cleans up',
  done: 'done',
  failed: 'failed; cleans up',
};

/** Tells what a run does: what changes on the display's changing line, what matters as a line that stays. */
export class Teller {
  readonly #client: Client;
  readonly #display: Display;
  readonly #rates = new Rates();
  readonly #told = new Map<string, string>();

  constructor(client: Client, display: Display) {
    this.#client = client;
    this.#display = display;
  }

  async tell(handle: WorkflowHandle, description: WorkflowExecutionDescription): Promise<void> {
    const attributes = description.typedSearchAttributes;
    const phase = attributes.get(searchAttributes.phase) ?? 'starting';
    const words = (PHASES as Readonly<Record<string, string>>)[phase] ?? phase;
    const elapsed = clock(Date.now() - description.startTime.getTime());
    const steps = stepsOf(description);

    // For a wait, its reason is told below.
    if (phase !== 'waiting') this.#once('phase', `${elapsed}  ${words}`, phase, { live: false });
    for (const step of steps) {
      if (step.failure === undefined) continue;
      this.#once(`failure ${step.id}`, `${elapsed}  ${failureInWords(step, step.failure)}`, String(step.attempt));
    }
    const standstill = await standstillOf(this.#client, description, steps);
    this.#once('standstill', `${elapsed}  ${standstill ?? 'goes on'}`, standstill ?? '');
    const night = description.type === 'runRoutine';
    // Only a worker can tell the page.
    const page = (phase === 'waiting' || night) && standstill === undefined ? await this.#page(handle) : undefined;
    // Of a night, the first line counts how far it is; of a wait, all but that says for what and what to do.
    const [said, next] = night
      ? [page?.split('\n')[0]]
      : (page?.replace(/^.*\n/, '').replace(/\s+/g, ' ').trim().split(' Next step: ') ?? []);
    if (said !== undefined)
      this.#once('page', `${elapsed}  ${said}${next === undefined ? '' : `\n        → ${next}`}`, said, {
        live: !night,
      });

    const now = Date.now();
    const moving = steps
      .filter(({ state }) => state !== 'queued')
      .map((step) => stepInWords(step, this.#rates.of(step, now)));
    this.#display.status(`${elapsed}  ${standstill ?? said ?? (moving.length > 0 ? moving.join(' · ') : words)}`);
  }

  /** Notes what has changed since it was last noted; where the changing line shows it anyway, only in logs. */
  #once(topic: string, text: string, value: string, { live = true } = {}): void {
    const before = this.#told.get(topic) ?? '';
    if (before === value) return;
    this.#told.set(topic, value);
    if (live || !this.#display.live) this.#display.note(text);
  }

  /** The run's page in the Temporal UI. */
  async #page(handle: WorkflowHandle): Promise<string | undefined> {
    try {
      const { currentDetails } = await this.#client.withDeadline(Date.now() + 3_000, () =>
        handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata'),
      );
      return plainText(currentDetails ?? '');
    } catch {
      // The worker has gone in this moment: the next look will say so.
      return undefined;
    }
  }
}

/** Markdown for a terminal: without its marks and links, and without the table. */
function plainText(markdown: string): string {
  return markdown
    .replace(/\n\n\| \| \|\n[\s\S]*$/, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/\\([^\w\s])|\*\*|`/g, '$1');
}

function failureInWords(step: StepNow, { code, message, hint }: NonNullable<StepNow['failure']>): string {
  const next =
    step.nextTryAt === undefined ? '' : `; tries again at ${new Date(step.nextTryAt).toLocaleTimeString('en-GB')}`;
  return `${step.doing}: attempt ${Math.max(step.attempt - 1, 1)} failed (${code}): ${message}${next}${hint === undefined ? '' : `\n        → ${hint}`}`;
}
