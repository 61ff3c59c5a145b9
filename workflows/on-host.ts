import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';

import { failRun, reasonOf } from './failure.ts';
import { probe } from './steps.ts';
import { ASK_EVERY_MS, SILENCES_UNTIL_LOST } from './time-limits.ts';

/**
 * Does `work` on a host, and gives up when the host is gone. A step that waits in a heavy queue says nothing about its
 * host, which may only be busy; so the light queue is asked from time to time whether anybody is there.
 * @throws ApplicationFailure `host-unavailable`, after the steps of `work` were cancelled.
 */
export async function onHost<T>(host: string, work: () => Promise<T>): Promise<T> {
  const working = new CancellationScope();
  const watching = new CancellationScope();
  let gone = false;
  const watch = watching.run(async () => {
    for (let silences = 0; silences < SILENCES_UNTIL_LOST;) {
      await sleep(ASK_EVERY_MS, { summary: `looks whether ${host} is still there` });
      silences = (await answers(host)) ? 0 : silences + 1;
    }
    gone = true;
    working.cancel();
  });
  watch.catch(() => undefined);
  try {
    return await working.run(work);
  } catch (error) {
    if (!gone) throw error;
    throw failRun({
      code: 'host-unavailable',
      message: `the host ${host} stopped answering while it worked on this run`,
      hint: `start \`cofre worker\` on ${host} again; it cleans up by itself`,
    });
  } finally {
    watching.cancel();
  }
}

async function answers(host: string): Promise<boolean> {
  try {
    await probe(host, `is ${host} there?`).checkHost();
    return true;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return reasonOf(error).code !== 'host-unavailable';
  }
}

/**
 * Asks the hosts in order and takes the first that is there and fit. A host that is gone or full is passed over;
 * any other refusal would be the same on every host, so it ends the search.
 */
export async function chooseHost<T>(
  hosts: readonly string[],
  check: (host: string) => Promise<T>,
): Promise<{ host: string; checked: T }> {
  let last: unknown = failRun({
    code: 'host-unavailable',
    message: 'no host is configured that could do this',
    hint: 'give the environment `hosts:` in cofre.yaml and run `cofre apply`',
  });
  for (const host of hosts) {
    try {
      return { host, checked: await check(host) };
    } catch (error) {
      last = error;
      const { code } = reasonOf(error);
      if (code !== 'host-unavailable' && code !== 'no-space') throw error;
    }
  }
  throw last;
}

/**
 * Does what any host can do: on the first of them that answers, and on the next one where that is lost meanwhile.
 * @throws ApplicationFailure `host-unavailable`, when none could do it.
 */
export async function onAnyHost<T>(hosts: readonly string[], work: (host: string) => Promise<T>): Promise<T> {
  const { checked } = await chooseHost([...new Set(hosts)], (host) =>
    onHost(host, async () => {
      await probe(host, `is ${host} there?`).checkHost();
      return await work(host);
    }),
  );
  return checked;
}
