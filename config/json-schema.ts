import { z } from 'zod';

import { configSchema } from './schema.ts';

/** The JSON schema of `cofre.yaml` for editors; `config/cofre.schema.json` is this, written by the build. */
export function configJsonSchema(): object {
  return {
    $id: 'urn:cofre:configuration',
    title: 'cofre.yaml',
    description: 'The configuration of Cofre: what is backed up, where to, and when.',
    // Draft 7 is the newest that every YAML editor knows.
    ...z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' }),
  };
}
