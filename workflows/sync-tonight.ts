import { ParentClosePolicy, executeChild, isCancellation, workflowInfo } from '@temporalio/workflow';

import type { RoutinePlan } from '../activities/plans.ts';
import { countsInWords } from './differences-text.ts';
import { failRun, reasonOf } from './failure.ts';
import type { RoutineResult } from './night.ts';
import { failedState, mendFirst, runLink } from './page.ts';
import { showPhase } from './phase.ts';
import { syncCatalog } from './sync-catalog.ts';

/**
 * A routine that compares the catalog with every destination, by a run of its own. @throws ApplicationFailure `part-failed` when
 * copies are not verified, or a destination could not be compared: it must not look green then.
 */
export async function syncTonight(routine: string, { until }: RoutinePlan): Promise<RoutineResult> {
  const slot = new Date(Date.now()).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
  const workflowId = `syncCatalog/${routine}/${slot}-${workflowInfo().runId.slice(0, 8)}`;
  const title = `**Routine ${routine}:** the catalog and its destinations`;
  const link = runLink(workflowId, 'its run');
  showPhase('compare', { title, state: `**Now:** compares them; ${link} tells how far it is.`, next: 'none for you.' });
  try {
    const sync = await executeChild(syncCatalog, {
      workflowId,
      args: [{ routine, ...(until === null ? {} : { endsAt: until }) }],
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `${routine}: compares the catalog with its destinations`,
    });
    const facts = sync.compared.map((one): [string, string] => [one.destination, countsInWords(one)]);
    if (sync.state === 'complete') {
      showPhase('done', { title, state: '**Done.**', next: 'none.', facts });
      return { routine, environments: [], sync };
    }
    const away = sync.notCompared.map(({ destination }) => destination);
    throw failRun({
      code: 'part-failed',
      message: [
        ...(away.length === 0 ? [] : [`not compared: ${away.join(', ')}`]),
        ...(sync.unverified === 0 ? [] : [`copies missing, damaged or not proven: ${sync.unverified}`]),
      ].join('; '),
      hint: `the page of ${workflowId} names them; cofre sync --repair brings them back from other copies`,
    });
  } catch (error) {
    const reason = reasonOf(error);
    const cancelled = reason.code === 'cancelled';
    const next = cancelled ? 'none.' : `${mendFirst(reason)}. More in ${link}.`;
    showPhase('failed', { title, state: failedState(reason), next }, cancelled ? 'nothing' : 'operator');
    throw isCancellation(error) ? error : failRun(reason);
  }
}
