import { proxyActivities } from '@temporalio/workflow';

/** A run of one step, which is lost as soon as it has been silent for three seconds. */
export async function hashing(path: string): Promise<number> {
  const steps = proxyActivities<{ hash(path: string): Promise<number> }>({
    startToCloseTimeout: '1h',
    heartbeatTimeout: '3s',
    retry: { maximumAttempts: 1 },
  });
  return await steps.hash(path);
}
