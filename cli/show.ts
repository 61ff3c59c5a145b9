import type { Command } from 'commander';

import { readApplied } from '../activities/applied.ts';
import { getBackup, type BackupDetail, type CopyDetail } from '../catalog/backup-list.ts';
import { liveHold, missingHoldFiles } from '../catalog/holds.ts';
import type { DatabaseFacts, Manifest, ServerFacts } from '../catalog/manifest.ts';
import { getManifest } from '../catalog/manifests.ts';
import type { AppliedConfig } from '../config/schema.ts';
import { CofreError } from '../errors/error.ts';
import { examplesAndExits } from './help.ts';
import { holdRows } from './hold/words.ts';
import { bytesInWords, durationInWords, table } from './print.ts';
import { printResult } from './result.ts';
import { Session, type GlobalOptions } from './session.ts';
import { objectKey, stockCommands } from './show/stock-commands.ts';
import { objectAddress } from './show/stock-fetch.ts';

export function register(program: Command, globals: () => GlobalOptions): void {
  program
    .command('show')
    .summary('show one backup, or the commands that restore it without Cofre')
    .description('Shows everything that is known of one backup.')
    .argument('<backup>', 'the id of the backup, as cofre backups lists it')
    .option('--commands', 'print the commands of PostgreSQL, tar and zstd that restore it without Cofre', false)
    .addHelpText(
      'after',
      examplesAndExits(
        ['cofre show 20261120T210000Z-1f3a9c04', 'cofre show 20261120T210000Z-1f3a9c04 --commands > restore.sh'],
        [0, 2, 4],
      ),
    )
    .action(async (id: string, { commands }: { commands: boolean }) => {
      const options = globals();
      const session = await Session.open(options);
      try {
        const catalog = await session.catalog();
        const backup = await getBackup(catalog, id);
        const manifest = await getManifest(catalog, id).catch(ignoreNone);
        const { config } = await readApplied(catalog);
        if (!commands) {
          const hold = (await liveHold(catalog, id)) ?? null;
          const missing = await missingHoldFiles(catalog, Object.keys(config.destinations));
          const holdMissingIn = missing.flatMap(({ backupId, destination }) => (backupId === id ? [destination] : []));
          const held = hold === null ? [] : holdRows(hold);
          if (holdMissingIn.length > 0)
            held.push(['', `hold.json is missing in ${holdMissingIn.join(', ')}: cofre sync writes it`]);
          const words = backupInWords(backup, manifest, config, held);
          printResult(options, { ...backup, hold, holdMissingIn, manifest }, words);
          return;
        }
        if (manifest === null)
          throw new CofreError('not-known', `the backup ${id} never came so far as to have a verified copy`);
        const text = stockCommands(backup, manifest, config);
        printResult(options, { id, commands: text }, text);
      } finally {
        await session.close();
      }
    });
}

function ignoreNone(error: unknown): null {
  if (error instanceof CofreError && error.code === 'not-known') return null;
  throw error;
}

function backupInWords(
  backup: BackupDetail,
  manifest: Manifest | null,
  config: AppliedConfig,
  held: readonly [string, string][],
): string {
  const flags = (['anomalous', 'held', 'adopted'] as const).filter((flag) => backup[flag] === true);
  const took =
    backup.finishedAt === null
      ? 'still running'
      : durationInWords(Date.parse(backup.finishedAt) - Date.parse(backup.startedAt));
  const rows: [string, string][] = [
    ['backup', backup.id],
    ['environment', backup.environment],
    ['what', `${backup.kind}, ${backup.mode}${backup.pipeline === null ? '' : `, ${backup.pipeline}`}`],
    ['state', [backup.state, ...flags].join(', ')],
    ['started', `${backup.startedAt}, ${took}`],
    [
      'started by',
      `${backup.routine === null ? 'hand' : `the routine ${backup.routine}`}, with version ${backup.configVersion} of the configuration`,
    ],
    ['run', backup.workflowId],
  ];
  if (backup.host !== null) rows.push(['host', backup.host]);
  if (backup.error !== null) {
    rows.push(['failed', `${backup.error.code}: ${backup.error.message}`]);
    if (backup.error.hint !== undefined) rows.push(['next step', backup.error.hint]);
  }
  if (manifest !== null) rows.push(...contentRows(manifest));
  for (const warning of backup.warnings) rows.push(['warning', warning]);
  if (backup.accepted !== null)
    rows.push(['accepted', `by ${backup.accepted.by} at ${backup.accepted.at}: it is as it should be`]);
  rows.push(...held);
  if (backup.lastProvenAt !== undefined) rows.push(['last proven', backup.lastProvenAt]);
  for (const copy of backup.copies) rows.push(...copyRows(backup, manifest, copy, config));
  if (backup.copies.some(({ state, destination }) => state === 'verified' && config.destinations[destination])) {
    rows.push([
      'restore',
      `cofre restore --from ${backup.environment} --backup ${backup.id} --to ${backup.environment}`,
    ]);
    rows.push(['without Cofre', `cofre show ${backup.id} --commands`]);
  }
  return table(rows);
}

function contentRows({ snapshotAt, content, database, server, tools, objects }: Manifest): [string, string][] {
  const rows: [string, string][] = [
    ['data from', `${snapshotAt}, ${durationInWords(Date.now() - Date.parse(snapshotAt))} ago`],
    [
      'content',
      `${content.rows} rows in ${content.tables.length} tables, ${content.largeObjects.count} large objects, ${bytesInWords(content.rawBytes)}`,
    ],
    ...(database === null ? [] : databaseRows(database)),
    ...(server === null ? [] : serverRows(server)),
    [
      'made with',
      Object.entries(tools)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ],
  ];
  for (const { key, sizeBytes, sha256 } of objects)
    rows.push(['object', `${key}, ${bytesInWords(sizeBytes)}, SHA-256 ${sha256}`]);
  return rows;
}

function serverRows(server: ServerFacts): [string, string][] {
  const { version, systemIdentifier, inRecovery } = server;
  const standby = inRecovery ? ', a standby' : '';
  return [['server', `PostgreSQL ${version}, system identifier ${systemIdentifier}${standby}`]];
}

function databaseRows(database: DatabaseFacts): [string, string][] {
  const extensions = database.extensions.map(({ name, version }) => `${name} ${version}`).join(', ');
  const rows: [string, string][] = [
    [
      'database',
      `${database.name}, owner ${database.owner}, ${database.encoding}, ${database.collate} (${database.localeProvider}), ${bytesInWords(database.sizeBytes)} on the server`,
    ],
    ['extensions', extensions === '' ? 'none' : extensions],
    ['roles', database.roles.map(({ name }) => name).join(', ')],
  ];
  if (database.privileged.length > 0) {
    const names = database.privileged.slice(0, 5).map(({ type, name }) => `${type.toLowerCase()} ${name}`);
    rows.push(['superuser only', `${names.join(', ')}${database.privileged.length > 5 ? ', …' : ''}`]);
  }
  return rows;
}

function copyRows(
  backup: BackupDetail,
  manifest: Manifest | null,
  copy: CopyDetail,
  config: AppliedConfig,
): [string, string][] {
  const destination = config.destinations[copy.destination];
  const path =
    destination === undefined || manifest === null
      ? ''
      : `, ${objectAddress(destination, objectKey(backup, manifest))}`;
  const verified = copy.verifiedAt === null ? '' : ` at ${copy.verifiedAt}`;
  const rows: [string, string][] = [['copy', `${copy.destination}: ${copy.state}${verified}${path}`]];
  if (destination === undefined && copy.state !== 'deleted')
    rows.push(['', '→ it is not in destinations: any more; no restore finds it until it is put back']);
  if (copy.error !== null) rows.push(['', `${copy.error.code}: ${copy.error.message}`]);
  if (copy.error?.hint !== undefined) rows.push(['', `→ ${copy.error.hint}`]);
  return rows;
}
