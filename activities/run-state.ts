import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';

import { CofreError, messageOf } from '../errors/error.ts';

/**
 * The newest run with this id, as Temporal knows it; undefined when it knows none. By its id and not from a list, because
 * lists are only eventually complete. @throws CofreError `temporal-unavailable`, also when it does not know the namespace.
 */
export async function describeRun(
  client: Client,
  workflowId: string,
): Promise<WorkflowExecutionDescription | undefined> {
  try {
    return await client.workflow.getHandle(workflowId).describe();
  } catch (cause) {
    if (cause instanceof WorkflowNotFoundError) return undefined;
    throw new CofreError('temporal-unavailable', `Temporal does not say how ${workflowId} is: ${messageOf(cause)}`, {
      cause,
    });
  }
}
