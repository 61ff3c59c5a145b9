import { CofreError, messageOf } from '../../errors/error.ts';

/** One line of what `cofre doctor` found. */
export interface Check {
  readonly area: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** How to mend it. */
  readonly hint?: string;
}

export function ok(area: string, message: string): Check {
  return { area, state: 'ok', message };
}

export function warn(area: string, message: string, hint: string): Check {
  return { area, state: 'warn', message, hint };
}

export function fail(area: string, message: string, hint: string): Check {
  return { area, state: 'fail', message, hint };
}

/** A failure is a finding, not the end of the examination. */
export async function examine(area: string, look: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await look();
  } catch (error) {
    return [failureOf(area, error)];
  }
}

export function failureOf(area: string, error: unknown): Check {
  const hint = error instanceof CofreError ? error.hint : undefined;
  return { area, state: 'fail', message: messageOf(error), ...(hint === undefined ? {} : { hint }) };
}
