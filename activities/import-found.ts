import { objectPrefix, timeOfId } from '../catalog/backup-id.ts';
import { flagImported, importBackup, type Imported } from '../catalog/import-backup.ts';
import type { Manifest } from '../catalog/manifest.ts';
import type { Catalog } from '../catalog/open.ts';
import { liesAhead } from '../catalog/times.ts';
import type { AppliedConfig } from '../config/schema.ts';
import type { Destination } from '../destinations/destination.ts';
import { CofreError } from '../errors/error.ts';
import { publishedManifest } from './prove-copy.ts';
import { namesOf } from './survey.ts';

/** Takes what a destination has and the catalog does not, and remembers which environments got something. */
export class Importer {
  readonly #catalog: Catalog;
  readonly #environments: AppliedConfig['environments'];
  readonly #run: { readonly destination: string; readonly workflowId: string; readonly runId: string };
  readonly #imported = new Map<string, Set<string>>();

  constructor(
    catalog: Catalog,
    { environments }: Pick<AppliedConfig, 'environments'>,
    run: { destination: string; workflowId: string; runId: string },
  ) {
    this.#catalog = catalog;
    this.#environments = environments;
    this.#run = run;
  }

  /**
   * Enters the backup of a folder that has a manifest, if it is one of this installation's.
   * @throws CofreError `bad-content`, `refused` or `invalid-key`, whose message says why it is not taken.
   */
  async take(place: Destination, folder: string, signal: AbortSignal): Promise<Imported> {
    const manifest = await publishedManifest(place, folder, signal);
    // Removed in this moment.
    if (manifest === undefined) return 'nothing';
    requireOwn(this.#environments, manifest, folder);
    requirePast(manifest);
    const imported = await importBackup(this.#catalog, { manifest, ...this.#run });
    const { id } = manifest.environment;
    if (imported === 'backup') this.#imported.set(id, (this.#imported.get(id) ?? new Set()).add(manifest.backupId));
    return imported;
  }

  /** After all of them: each is compared with the one before it. */
  async finish(): Promise<void> {
    for (const [environment, ids] of this.#imported) await flagImported(this.#catalog, environment, ids);
  }
}

/**
 * Whoever can write to a destination could have others' data restored: a manifest must fit where it lies, and to whom.
 * @throws CofreError `refused`, whose message goes on after "not taken: ".
 */
export function requireOwn(environments: AppliedConfig['environments'], manifest: Manifest, folder: string): void {
  const { backupId, environment } = manifest;
  const named = objectPrefix(environment.id, backupId);
  if (named !== folder) throw new CofreError('refused', `its manifest is that of ${named}`);
  const own = Object.hasOwn(environments, environment.id) ? environments[environment.id] : undefined;
  if (own === undefined)
    throw new CofreError('refused', `this installation has no environment ${namesOf(folder).environment}`);
  if (own.customer !== environment.customer || own.stage !== environment.stage) {
    const theirs = `${environment.stage} of ${environment.customer.slice(0, 80)}`;
    throw new CofreError(
      'refused',
      `it is a backup of another ${environment.id}: ${theirs}, not ${own.stage} of ${own.customer}`,
    );
  }
}

/**
 * What says that it is from a time to come would be the latest until then, whatever is backed up meanwhile.
 * @throws CofreError `refused`, whose message goes on after "not taken: ".
 */
export function requirePast({ backupId, snapshotAt }: Manifest): void {
  if (!liesAhead(timeOfId(backupId)) && !liesAhead(new Date(snapshotAt))) return;
  const now = new Date().toISOString();
  throw new CofreError('refused', `its data are of ${snapshotAt}, a time to come by the clock here (${now})`, {
    hint: 'if that clock is wrong, set it; else look who put it there, or whose clock was wrong then',
  });
}
