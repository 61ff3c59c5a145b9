/**
 * Where a step of the product is to stand still: before it begins, after its work but before its answer reaches Temporal,
 * before its n-th input or output (from 1 on), or while a tool of this name has moved so many bytes.
 */
export type Point = 'start' | 'end' | number | { readonly tool: string; readonly afterBytes: number };

/**
 * A point of one step: of the n-th call (from 1 on) of an activity by an environment's run. That it is tried again, after a
 * kill for instance, is no other call.
 */
export interface Position {
  readonly activity: string;
  readonly call: number;
  readonly point: Point;
}

/** What a test tells the worker that it injects faults into: one JSON object a line. */
export type Order =
  | {
      readonly type: 'hold';
      readonly environment: string;
      readonly position: Position;
      readonly begun: readonly Call[];
    }
  /** Whatever stands still for this environment goes on, to the next position; without one what it was to hold is forgotten. */
  | { readonly type: 'release'; readonly environment: string; readonly next?: Position }
  /** A worker that has just joined knows all that it needs. */
  | { readonly type: 'ready' };

/** A call of an activity, by what Temporal calls it. */
export interface Call {
  readonly activity: string;
  readonly id: string;
}

/** What the worker answers. */
export type Report =
  | { readonly type: 'joined'; readonly host: string }
  | { readonly type: 'holds'; readonly environment: string }
  | { readonly type: 'began'; readonly environment: string; readonly call: Call }
  | { readonly type: 'held'; readonly environment: string; readonly at: string }
  /** A step of it has done something, or is about to. */
  | { readonly type: 'works'; readonly environment: string }
  | { readonly type: 'ended'; readonly environment: string; readonly step: StepRecord };

/** What one step did, in order: its inputs and outputs, and how much each of its tools moved. */
export interface StepRecord {
  readonly activity: string;
  readonly taskQueue: string;
  readonly call: number;
  readonly attempt: number;
  readonly operations: readonly string[];
  readonly tools: readonly { readonly name: string; readonly movedBytes: number }[];
}
