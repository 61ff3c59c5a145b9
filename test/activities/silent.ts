import { proxyActivities } from '@temporalio/workflow';

/** A run of one step, which is tried again at once when it has been silent for half a second. */
export async function silent(attempts: number): Promise<{ attempt: number; atOnce: number }> {
  const steps = proxyActivities<{ fallSilent(attempts: number): Promise<{ attempt: number; atOnce: number }> }>({
    startToCloseTimeout: '1m',
    heartbeatTimeout: '500ms',
    retry: { initialInterval: '1ms', backoffCoefficient: 1 },
  });
  return await steps.fallSilent(attempts);
}
