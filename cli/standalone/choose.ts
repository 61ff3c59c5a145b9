import { eachAtOnce } from '../../activities/each-at-once.ts';
import { requireOwn, requirePast } from '../../activities/import-found.ts';
import { publishedManifest } from '../../activities/prove-copy.ts';
import { findAnomalies, type SizedBackup } from '../../catalog/anomaly.ts';
import { isBackupId, isName, objectPrefix } from '../../catalog/backup-id.ts';
import type { Manifest } from '../../catalog/manifest.ts';
import type { Config } from '../../config/schema.ts';
import type { Destination } from '../../destinations/destination.ts';
import { CofreError, messageOf, type ErrorCode } from '../../errors/error.ts';

export interface Wanted {
  /** Whose backup, where that was said. */
  readonly environment?: string | undefined;
  /** An id, or `latest`. */
  readonly backup: string;
}

export interface Choice {
  readonly manifest: Manifest;
  /** Why it may not be what is looked for, in words; null: there is no doubt. */
  readonly anomaly: string | null;
  /** Newer ones that `latest` does not mean, and why. */
  readonly passedOver: readonly { readonly backupId: string; readonly why: string }[];
  /** The other backups of the environment there whose manifest is whole, the newest first. */
  readonly others: readonly string[];
}

interface Request {
  readonly environments: Config['environments'];
  readonly destination: string;
  readonly to: string;
  readonly wanted: Wanted;
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
}

/** With more to read than this, it is said that it takes a while. */
const FEW = 100;
/** More nights than this with much less in them are too many to be passed over without a person. */
const DOUBTFUL_MAX = 7;
const SHOWN = 10;

/** What is wrong with one folder alone, such as a copy that somebody made by hand: the others can be restored all the same. */
const FOLDERS_FAULT: ReadonlySet<ErrorCode> = new Set(['bad-content', 'refused', 'invalid-key', 'access-denied']);

/**
 * Finds in a destination, which alone is left, the manifest of the backup that is to be restored; reads nothing but manifests.
 * As with a catalog, `latest` passes over one that is anomalous, and data of one environment do not go into another.
 * @throws CofreError `no-backup`, `refused`, `backup-anomalous` when only a person can say which is the latest, `bad-content` for a
 * manifest that is damaged, and what the destination says.
 */
export async function chooseManifest(place: Destination, request: Request): Promise<Choice> {
  const { to, wanted, signal, destination, tell } = request;
  if (wanted.environment !== undefined && wanted.environment !== to)
    throw notInto(request, wanted.environment, wanted.backup);
  const there = await backupsIn(place, `${to}/`, signal);
  const ids = [...(there.get(to) ?? [])].sort();
  const isLatest = wanted.backup === 'latest';
  if (isLatest ? ids.length === 0 : !ids.includes(wanted.backup)) throw await noBackup(place, request, ids);

  if (ids.length > FEW) tell(`reads the ${ids.length} manifests of ${to} in ${destination}`);
  const { sizes, faults } = await readSizes(place, request, ids);
  const anomalies = findAnomalies(sizes);
  const passedOver = new Map([...faults].map(([id, { message }]) => [id, message]));
  for (const [id, why] of anomalies)
    passedOver.set(id, `anomalous: ${why}; ${destination}:${id} takes it all the same`);

  const chosen = isLatest ? sizes.findLast(({ id }) => !anomalies.has(id))?.id : wanted.backup;
  if (chosen === undefined) throw faults.get(ids.at(-1) ?? '') ?? (await noBackup(place, request, ids));
  const newer = (id: string): boolean => id > chosen;
  const doubtful = [...anomalies.keys()].filter(newer);
  if (isLatest && doubtful.length > DOUBTFUL_MAX) throw undecided(request, chosen, doubtful, anomalies);
  return {
    manifest: await readManifest(place, request, chosen),
    anomaly: anomalies.get(chosen) ?? null,
    passedOver: [...passedOver]
      .filter(([id]) => isLatest && newer(id))
      .sort()
      .map(([backupId, why]) => ({ backupId, why })),
    others: ids.filter((id) => id !== chosen && !faults.has(id)).reverse(),
  };
}

/** Of all that can be read, the oldest first: the data of many thousand tables are not kept. */
async function readSizes(
  place: Destination,
  request: Request,
  ids: readonly string[],
): Promise<{ readonly sizes: readonly SizedBackup[]; readonly faults: ReadonlyMap<string, CofreError> }> {
  const sizes: SizedBackup[] = [];
  const faults = new Map<string, CofreError>();
  await eachAtOnce(ids, async (id) => {
    try {
      const manifest = await readManifest(place, request, id);
      requirePast(manifest);
      const { rows, rawBytes } = manifest.content;
      sizes.push({ id, rows, rawBytes });
    } catch (error) {
      if (!(error instanceof CofreError) || !FOLDERS_FAULT.has(error.code)) throw error;
      faults.set(id, error);
    }
  });
  return { sizes: sizes.sort((one, other) => (one.id < other.id ? -1 : 1)), faults };
}

/** A database that an operator has emptied and accepted looks like one that nobody has looked at for weeks. */
function undecided(
  { destination, to }: Request,
  chosen: string,
  doubtful: readonly string[],
  anomalies: ReadonlyMap<string, string>,
): CofreError {
  const newest = doubtful.at(-1) ?? '';
  return new CofreError(
    'backup-anomalous',
    `latest is not clear: the newest ${doubtful.length} backups of ${to} in ${destination} are anomalous: ${anomalies.get(newest) ?? ''}`,
    {
      hint: `which one is right? ${destination}:${newest} is the newest, ${destination}:${chosen} the last with as much in it as before`,
    },
  );
}

/** The first of them, as a hint names them. */
export function shortList(names: readonly string[]): string {
  return `${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ', …' : ''}`;
}

async function readManifest(
  place: Destination,
  { environments, destination, to, signal }: Request,
  id: string,
): Promise<Manifest> {
  const folder = objectPrefix(to, id);
  try {
    const manifest = await publishedManifest(place, folder, signal);
    if (manifest === undefined) throw new CofreError('bad-content', 'it is gone');
    requireOwn(environments, manifest, folder);
    return manifest;
  } catch (error) {
    if (!(error instanceof CofreError) || !['bad-content', 'refused', 'invalid-key'].includes(error.code)) throw error;
    throw new CofreError(error.code, `${folder}manifest.json in ${destination} is not taken: ${messageOf(error)}`, {
      cause: error,
      hint: error.hint ?? 'look who put it there; another backup, or another destination, may have what is needed',
    });
  }
}

/** The ids of the backups that have a manifest below a prefix, by environment. */
async function backupsIn(place: Destination, prefix: string, signal: AbortSignal): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for await (const { key } of place.list(prefix, { signal })) {
    const [environment = '', id = '', name, ...more] = key.split('/');
    if (name !== 'manifest.json' || more.length > 0 || !isName(environment) || !isBackupId(id)) continue;
    found.set(environment, [...(found.get(environment) ?? []), id]);
  }
  return found;
}

/** Only when something is not there: all of a destination may be long to list. */
async function noBackup(place: Destination, request: Request, ids: readonly string[]): Promise<CofreError> {
  const { environments, destination, to, wanted, signal } = request;
  const all = await backupsIn(place, '', signal);
  const production = environments[to]?.productionOf;
  if (wanted.backup !== 'latest') {
    const owner = [...all].find(([, others]) => others.includes(wanted.backup))?.[0];
    if (owner !== undefined && owner !== to) return notInto(request, owner, wanted.backup);
  } else if (production !== undefined && all.has(production)) return notInto(request, production, 'latest');
  const which = wanted.backup === 'latest' ? '' : ` ${wanted.backup}`;
  const hint =
    ids.length > 0
      ? `of ${to} it has: ${shortList([...ids].reverse())}; latest is the newest`
      : all.size > 0
        ? `it has backups of: ${shortList([...all.keys()].sort())}`
        : 'it has no backup of anything: is it the right place?';
  return new CofreError('no-backup', `${destination} has no backup${which} of ${to}`, { hint });
}

/** The rule of every restore (`activities/resolve-restore.ts`): there is no other way for data of one environment into another. */
function notInto({ environments, destination, to }: Request, from: string, backup: string): CofreError {
  const [theirs, ours] = [environments[from], environments[to]];
  const stranger = theirs !== undefined && ours !== undefined && theirs.customer !== ours.customer;
  const why = stranger
    ? 'they are of another customer'
    : 'that takes a request and an approval, which this version of Cofre does not have';
  return new CofreError('refused', `data of ${from} do not go into ${to}: ${why}`, {
    hint: `into ${from} itself: cofre restore --standalone ${destination}:${backup} --to ${from}`,
  });
}
