import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';

/** What runs are found by in the Temporal UI. Registered by `cofre apply` before any worker uses them. */
export const searchAttributes = {
  environment: defineSearchAttributeKey('CofreEnvironment', SearchAttributeType.KEYWORD),
  kind: defineSearchAttributeKey('CofreKind', SearchAttributeType.KEYWORD),
  stage: defineSearchAttributeKey('CofreStage', SearchAttributeType.KEYWORD),
  backupId: defineSearchAttributeKey('CofreBackupId', SearchAttributeType.KEYWORD),
  routine: defineSearchAttributeKey('CofreRoutine', SearchAttributeType.KEYWORD),
  host: defineSearchAttributeKey('CofreHost', SearchAttributeType.KEYWORD),
  phase: defineSearchAttributeKey('CofrePhase', SearchAttributeType.KEYWORD),
  needs: defineSearchAttributeKey('CofreNeeds', SearchAttributeType.KEYWORD),
  bytes: defineSearchAttributeKey('CofreBytes', SearchAttributeType.INT),
} as const;

/** What a run waits for: its own work, a person's yes, an operator's hand, or room and services. */
export type Needs = 'nothing' | 'approval' | 'operator' | 'resource';
