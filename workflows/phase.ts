import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';

import { searchAttributes, type Needs } from './search-attributes.ts';

export { bytesInWords, durationInWords } from './words.ts';

export type Phase =
  | 'starting'
  | 'waiting'
  | 'preflight'
  | 'dump'
  | 'compress'
  | 'copies'
  | 'fetch'
  | 'load'
  | 'swap'
  | 'running'
  | 'cleaning'
  | 'done'
  | 'failed';

/**
 * Says where a run stands: as search attributes, which lists are filtered by, and as the text of the run's page,
 * which tells in words what happens now and what comes next.
 */
export function showPhase(phase: Phase, options: { needs?: Needs; text: string }): void {
  upsertSearchAttributes([
    { key: searchAttributes.phase, value: phase },
    { key: searchAttributes.needs, value: options.needs ?? 'nothing' },
  ]);
  setCurrentDetails(options.text);
}
