import { setTimeout as sleep } from 'node:timers/promises';

import type { Client } from '@temporalio/client';

import { CofreError, messageOf } from '../../errors/error.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';

/** `temporal.api.enums.v1.IndexedValueType`, as far as Cofre's attributes need it. */
const INDEXED_VALUE_TYPE = { KEYWORD: 2, INT: 3 } as const;

const WANTED = Object.values(searchAttributes).map(({ name, type }) => ({ name, type: INDEXED_VALUE_TYPE[type] }));
const USABLE_WITHIN_MS = 60_000;
const ASK_EVERY_MS = 500;

/**
 * The names of those of Cofre's search attributes that the namespace does not have yet.
 * @throws CofreError `bad-config` when it has one under the same name and of another type.
 */
export async function missingSearchAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  const found = await listSearchAttributes(client);
  for (const { name, type } of WANTED) {
    const has = found[name];
    if (has === undefined || has === type) continue;
    throw new CofreError('bad-config', `the namespace ${namespace} has a search attribute ${name} of another type`, {
      hint: 'give Cofre a namespace of its own in temporal.namespace',
    });
  }
  return WANTED.filter(({ name }) => found[name] === undefined).map(({ name }) => name);
}

/**
 * Registers what is missing and waits until it can be used: a run that sets an attribute which its server does not
 * know yet is stuck. May be called again.
 */
export async function registerSearchAttributes(client: Client, names: readonly string[]): Promise<void> {
  const { namespace } = client.options;
  const wanted = WANTED.filter(({ name }) => names.includes(name));
  for (const { name, type } of wanted) {
    try {
      await client.connection.operatorService.addSearchAttributes({ namespace, searchAttributes: { [name]: type } });
    } catch (error) {
      // Another `apply` may have been first.
      if (!/already exists/i.test(messageOf(error))) throw cannotRegister(name, error);
    }
  }
  const query = wanted.map(({ name }) => `${name} IS NOT NULL`).join(' OR ');
  const deadline = Date.now() + USABLE_WITHIN_MS;
  while (wanted.length > 0) {
    try {
      await client.workflow.count(query);
      return;
    } catch (cause) {
      if (Date.now() > deadline) throw cannotRegister(names.join(', '), cause);
      await sleep(ASK_EVERY_MS);
    }
  }
}

async function listSearchAttributes(client: Client): Promise<Readonly<Record<string, number>>> {
  const { namespace } = client.options;
  try {
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({ namespace });
    return customAttributes ?? {};
  } catch (cause) {
    throw new CofreError(
      'temporal-unavailable',
      `Temporal does not list the search attributes of ${namespace}: ${messageOf(cause)}`,
      {
        cause,
        hint: 'check that the namespace exists, or correct temporal.namespace',
      },
    );
  }
}

function cannotRegister(name: string, cause: unknown): CofreError {
  return new CofreError(
    'temporal-unavailable',
    `Temporal did not take the search attribute ${name}: ${messageOf(cause)}`,
    {
      cause,
      hint: `as an administrator of Temporal: temporal operator search-attribute create --name ${name} --type ${name === 'CofreBytes' ? 'Int' : 'Keyword'}`,
    },
  );
}
