import { AsyncLocalStorage } from 'node:async_hooks';
import childProcess, { type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';

import type { Context } from '@temporalio/activity';
import type { Pool } from 'pg';

import type { Call, Order, Point, Position, Report, StepRecord } from './protocol.ts';

/**
 * Loaded into a worker (`node --import`) it makes the product's steps stand still exactly where a test wants: every call
 * of the file system, of PostgreSQL and every tool is a point. It changes nothing else; the worker is the product's.
 */
const {
  COFRE_TEST_FAULTS: socketPath,
  COFRE_TEST_HOST: host = 'h1',
  COFRE_TEST_BUNDLE: bundle,
  COFRE_TEST_TOOLS: group,
} = process.env;

const TELL_EVERY_MS = 200;
/** More than ever stand still together. */
const AT_ONCE = 64;

type Calls = Record<string, (...args: unknown[]) => unknown>;

const current = new AsyncLocalStorage<Step>();
const holds = new Map<string, Position>();
/** What a run has called so far, by environment. */
const begun = new Map<string, Call[]>();
/** The activity that stands still, by environment. */
const standing = new Map<string, string>();
const released = new Map<string, (() => void)[]>();
let report: (report: Report) => void = () => undefined;

async function inject(path: string): Promise<void> {
  const socket = connect(path);
  socket.on('error', () => undefined);
  report = (what) => void socket.write(`${JSON.stringify(what)}\n`);
  report({ type: 'joined', host });
  // A run that goes on meanwhile must not pass where it is to be held.
  await new Promise<void>((ready) => {
    createInterface({ input: socket }).on('line', (line) => {
      const order = JSON.parse(line) as Order;
      if (order.type === 'ready') ready();
      else take(order);
    });
  });
  socket.unref();
  await watchFiles();
  watchTools();
  await watchSql();
  await watchSteps();
}

function take(order: Exclude<Order, { type: 'ready' }>): void {
  if (order.type === 'hold') {
    begun.set(order.environment, [...order.begun]);
    holds.set(order.environment, order.position);
    report({ type: 'holds', environment: order.environment });
  } else {
    if (order.next === undefined) holds.delete(order.environment);
    else holds.set(order.environment, order.next);
    standing.delete(order.environment);
    for (const goOn of released.get(order.environment) ?? []) goOn();
    released.delete(order.environment);
  }
}

/** One attempt of an activity, from before it begins until before its answer leaves. */
class Step {
  readonly environment: string;
  readonly record: StepRecord & { operations: string[]; tools: { name: string; movedBytes: number }[] };
  readonly #context: Context;
  #toldAt = 0;

  constructor(environment: string, activity: string, context: Context) {
    const { activityId, attempt, taskQueue, workflowExecution } = context.info;
    const id = `${workflowExecution?.runId} ${activityId}`;
    const calls = begun.get(environment) ?? [];
    if (!calls.some((call) => call.id === id)) calls.push({ activity, id });
    begun.set(environment, calls);
    const call = calls.filter((one) => one.activity === activity).findIndex((one) => one.id === id) + 1;
    this.environment = environment;
    this.record = { activity, taskQueue, call, attempt, operations: [], tools: [] };
    report({ type: 'began', environment, call: { activity, id } });
    this.#context = context;
  }

  async operation(name: string): Promise<void> {
    this.record.operations.push(name);
    // Whoever asks for a lock again and again waits for another step.
    if (!name.includes('pg_try_advisory_lock')) this.works();
    await this.reach(this.record.operations.length, name);
  }

  /** Tells the test, seldom enough. */
  works(): void {
    if (performance.now() - this.#toldAt < TELL_EVERY_MS) return;
    this.#toldAt = performance.now();
    report({ type: 'works', environment: this.environment });
  }

  async reach(point: Point, name: string): Promise<void> {
    if (this.wants() !== point) return;
    await this.stand(name);
  }

  /** Where this step is to stand still, if it is the one. */
  wants(): Point | undefined {
    const hold = holds.get(this.environment);
    return hold?.activity === this.record.activity && hold.call === this.record.call ? hold.point : undefined;
  }

  /** Stands still until it is released or cancelled, and goes on beating: it is not dead yet. */
  async stand(name: string): Promise<void> {
    holds.delete(this.environment);
    standing.set(this.environment, this.record.activity);
    const { cancellationSignal } = this.#context;
    const beating = setInterval(() => this.#context.heartbeat(), 500).unref();
    report({ type: 'held', environment: this.environment, at: `${this.record.activity} ${name}` });
    await new Promise<void>((resolve) => {
      released.set(this.environment, [...(released.get(this.environment) ?? []), resolve]);
      if (cancellationSignal.aborted) resolve();
      cancellationSignal.addEventListener('abort', () => resolve(), { once: true });
    });
    clearInterval(beating);
    if ((cancellationSignal.reason as Error | undefined)?.message === 'CANCELLED') standing.delete(this.environment);
  }

  /** Temporal tries a step again that stands for longer than it may take: that attempt stands, too. */
  async standAgain(): Promise<void> {
    const again = this.record.attempt > 1 && standing.get(this.environment) === this.record.activity;
    if (again) await this.stand('once more');
  }
}

/** Replaces a method by one that counts as an operation of the step that calls it. */
function watchMethods(owner: object, methods: readonly string[], kind: string): void {
  const target = owner as Calls;
  for (const method of methods) {
    const original = target[method];
    if (original === undefined) throw new Error(`there is no ${kind}.${method} to inject faults into`);
    target[method] = function (this: unknown, ...args: unknown[]): unknown {
      const step = current.getStore();
      if (step === undefined) return original.apply(this, args);
      const [first] = args;
      const what = typeof first === 'string' ? first.slice(0, 100) : '';
      // How a tool gets on is looked up again and again, and that is no work.
      if (what.startsWith('/proc/')) return original.apply(this, args);
      const ready = step.operation(`${kind}.${method} ${what}`);
      const answer = ready.then(() => original.apply(this, args));
      // Called with a callback, which alone tells the outcome.
      return typeof args.at(-1) === 'function' ? void answer : answer;
    };
  }
}

async function watchFiles(): Promise<void> {
  const file = await fs.promises.open('/dev/null');
  watchMethods(Object.getPrototypeOf(file) as object, ['write', 'sync', 'datasync', 'writeFile', 'read'], 'file');
  await file.close();
  const names = ['open', 'mkdir', 'mkdtemp', 'rename', 'link', 'unlink', 'rm', 'rmdir', 'writeFile', 'readFile'];
  watchMethods(fs.promises, [...names, 'readdir', 'opendir', 'stat', 'lstat', 'statfs'], 'fs');
  syncBuiltinESMExports();
}

async function watchSql(): Promise<void> {
  const { default: pg } = await import('pg');
  watchMethods(pg.Client.prototype, ['query'], 'sql');
  // What stands still must not take the sessions of what is to come.
  const connect = pg.Pool.prototype.connect as (this: Pool, ...args: unknown[]) => unknown;
  (pg.Pool.prototype as unknown as Calls)['connect'] = function (this: Pool, ...args) {
    this.options.max = AT_ONCE;
    return connect.apply(this, args);
  };
}

function watchTools(): void {
  const spawn = childProcess.spawn as (...args: unknown[]) => ChildProcess;
  (childProcess as unknown as Calls)['spawn'] = (...args) => {
    const child = spawn(...args);
    // Before it has done anything: all that it needs counts there.
    if (group !== undefined && child.pid !== undefined) fs.writeFileSync(group, String(child.pid));
    const step = current.getStore();
    if (step !== undefined && child.pid !== undefined) void watchTool(step, child, child.pid, args);
    return child;
  };
  syncBuiltinESMExports();
}

/** Freezes the tool and its children once they have moved so much: with them the step stands in its middle. */
async function watchTool(step: Step, child: ChildProcess, pid: number, args: readonly unknown[]): Promise<void> {
  const words = [...(args[1] as string[])];
  const name = words[words.indexOf('--') + 1]?.split('/').at(-1) ?? '';
  const tool = { name, movedBytes: 0 };
  step.record.tools.push(tool);
  let running = true;
  child.once('exit', () => (running = false));
  while (running) {
    const moved = movedBytes(pid);
    if (moved > tool.movedBytes) step.works();
    tool.movedBytes = Math.max(tool.movedBytes, moved);
    const wanted = step.wants();
    if (typeof wanted === 'object' && wanted.tool === name && tool.movedBytes >= wanted.afterBytes) {
      // It may end in this moment: then the step stands at its end.
      if (!(await isStopped(pid))) return;
      await step.stand(`in the middle of ${name}`);
      signalGroup(pid, 'SIGCONT');
    }
    await sleep(2);
  }
}

/** Stops the group, unless its leader has ended before. */
async function isStopped(pid: number): Promise<boolean> {
  for (;;) {
    if (!signalGroup(pid, 'SIGSTOP')) return false;
    const state = stateOf(pid);
    if (state === 'T') return true;
    // One that has ended takes signals until its parent has heard of its end.
    if (state === undefined || state === 'Z') return false;
    await sleep(1);
  }
}

function stateOf(pid: number): string | undefined {
  try {
    return /^State:\s+(\w)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** Whether the group is still there. */
function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

function movedBytes(pid: number): number {
  try {
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    const io = fs.readFileSync(`/proc/${pid}/io`, 'utf8');
    const own = [...io.matchAll(/^[rw]char: (\d+)/gm)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    return children.reduce((sum, child) => sum + movedBytes(Number(child)), own);
  } catch {
    return 0; // it has just ended
  }
}

async function watchSteps(): Promise<void> {
  const { Worker } = await import('@temporalio/worker');
  const create = Worker.create.bind(Worker);
  Worker.create = (options) =>
    create({
      ...options,
      // What stands still must not take the places of what is to come.
      ...(options.maxConcurrentActivityTaskExecutions === undefined
        ? {}
        : { maxConcurrentActivityTaskExecutions: AT_ONCE }),
      ...(bundle === undefined || options.workflowBundle === undefined ? {} : { workflowBundle: { codePath: bundle } }),
      interceptors: {
        activity: [
          (context) => ({
            inbound: {
              async execute(input, next) {
                const { activityType, workflowExecution } = context.info;
                const [, environment = ''] = workflowExecution?.workflowId.split('/') ?? [];
                const step = new Step(environment, activityType, context);
                await step.standAgain();
                await step.reach('start', 'at its start');
                try {
                  return await current.run(step, () => next(input));
                } finally {
                  // A point that it did not reach this time is its end.
                  if (step.wants() !== undefined && step.wants() !== 'start') await step.stand('at its end');
                  report({ type: 'ended', environment, step: step.record });
                }
              },
            },
          }),
        ],
      },
    });
}

// The threads in which workflows run load this too.
if (isMainThread && socketPath !== undefined) await inject(socketPath);
