import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';

import { pageText, type Page } from './page.ts';
import { searchAttributes, type Needs } from './search-attributes.ts';

export type Phase =
  | 'starting'
  | 'waiting'
  | 'preflight'
  | 'dump'
  | 'compress'
  | 'copies'
  | 'compare'
  | 'hold'
  | 'fetch'
  | 'load'
  | 'swap'
  | 'running'
  | 'cleaning'
  | 'done'
  | 'failed';

/**
 * Says where a run stands: as search attributes, which lists are filtered by, and on the run's page (in the Temporal
 * UI, the tab User Metadata), which tells in words what happens now and what comes next.
 */
export function showPhase(phase: Phase, page: Page, needs: Needs = 'nothing'): void {
  const { typedSearchAttributes: stands } = workflowInfo();
  // Each upsert is an event of the history, and a night shows how far it is hundreds of times.
  if (stands.get(searchAttributes.phase) !== phase || stands.get(searchAttributes.needs) !== needs) {
    upsertSearchAttributes([
      { key: searchAttributes.phase, value: phase },
      { key: searchAttributes.needs, value: needs },
    ]);
  }
  setCurrentDetails(pageText(page));
}
