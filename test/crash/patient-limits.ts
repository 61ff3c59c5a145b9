// The limits of workflows/time-limits.ts for tests of workers that are killed: a host is not lost while another one starts.

export const SILENT_STEP_MS = 6_000;
export const TRY_AGAIN_AFTER_MS = 200;
export const ANSWER_WITHIN_MS = 20_000;
export const ASK_EVERY_MS = 5_000;
export const SILENCES_UNTIL_LOST = 4;
