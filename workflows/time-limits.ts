// How soon a run notices that something is gone. In a file of its own, because tests of lost workers and hosts build the
// workflows with shorter ones.

/** A step that is silent for so long is tried again: its worker is dead, frozen or cut off. Steps beat each second. */
export const SILENT_STEP_MS = 20_000;

/** After how long a step that failed is tried again, at first; twice as long each time. */
export const TRY_AGAIN_AFTER_MS = 2_000;

/** A host that is there takes a light step within this time. */
export const ANSWER_WITHIN_MS = 20_000;

/** How often a host that works for a run is asked whether it is still there. */
export const ASK_EVERY_MS = 2 * 60_000;

/**
 * So many silences in a row, and it counts as lost: after seven minutes. A machine that was only restarted is back by
 * then and goes on where it was, and that costs nobody a second dump; a night that is hours long does not miss them.
 */
export const SILENCES_UNTIL_LOST = 3;
