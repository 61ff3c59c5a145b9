import type { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

/** Everything that Temporal shows of the runs (all, or those of a query) and schedules of a namespace, by what it is. */
export async function temporalTexts(client: Client, query?: string): Promise<Map<string, unknown>> {
  const texts = new Map<string, unknown>();
  for await (const execution of client.workflow.list(query === undefined ? {} : { query })) {
    const { workflowId, runId, type } = execution;
    const handle = client.workflow.getHandle(workflowId, runId);
    const history = await handle.fetchHistory();
    texts.set(`list: ${workflowId} ${runId}`, execution);
    texts.set(`history: ${workflowId} ${runId}`, history);
    texts.set(`exported history: ${workflowId} ${runId}`, historyToJSON(history));
    texts.set(`description: ${workflowId} ${runId}`, await handle.describe());
    // Somebody must work to answer this; a run of no workflow of ours has no page.
    texts.set(`page: ${workflowId} ${runId}`, await handle.query('__temporal_workflow_metadata').catch(String));
    texts.set(`type: ${workflowId} ${runId}`, type);
  }
  for await (const schedule of client.schedule.list()) {
    texts.set(`schedule: ${schedule.scheduleId}`, await client.schedule.getHandle(schedule.scheduleId).describe());
  }
  return texts;
}
