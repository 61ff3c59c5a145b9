import { copiesIn, markCopy, type KnownCopy } from '../catalog/copies-in.ts';
import { backupStates } from '../catalog/backups.ts';
import { HOLD_FILE } from '../catalog/hold.ts';
import type { Catalog } from '../catalog/open.ts';
import { aliasesIn } from '../config/alias.ts';
import type { Destination, StoredObject } from '../destinations/destination.ts';
import { unlessMissing } from '../destinations/stored.ts';
import { CofreError, messageOf, type ErrorCode } from '../errors/error.ts';
import { readApplied } from './applied.ts';
import { compareHold } from './compare-hold.ts';
import { lookAtCopy, MANIFEST, type Look } from './compare-copy.ts';
import { Importer } from './import-found.ts';
import { namesOf, surveyPlace, type Survey } from './survey.ts';
import { Differences, type Comparison } from './differences.ts';
import { eachAtOnce } from './each-at-once.ts';

export interface CompareRequest {
  readonly catalog: Catalog;
  readonly destination: string;
  readonly workflowId: string;
  readonly runId: string;
  /** Whether a key is another job's, which the configuration knows. */
  readonly isOthers: (key: string) => boolean;
  /** Opens the destination anew: what a driver remembers of a place must not hide that it is another one by now. */
  readonly open: <T>(use: (place: Destination) => Promise<T>) => Promise<T>;
  readonly signal: AbortSignal;
  readonly onProgress: (doing: string) => void;
}

/** Rows of the catalog at once. */
const PAGE = 200;
/** Why a manifest that was found is not taken; any other failure is that of the destination or the catalog. */
const NOT_TAKEN: ReadonlySet<ErrorCode> = new Set(['bad-content', 'refused', 'invalid-key', 'invalid-range']);

/**
 * Compares what a destination has with what the catalog says of it, marks what is missing or damaged, and enters what the catalog
 * does not know. Removes nothing. The catalog is read after the list: so whatever was begun before the list is known, and what ended
 * meanwhile is looked at again by itself. @throws CofreError what the destination says when it cannot be looked at, all of it.
 */
export async function compareDestination(request: CompareRequest): Promise<Comparison> {
  const { catalog, destination, open, isOthers, signal, onProgress } = request;
  const { config } = await readApplied(catalog);
  return await open(async (place) => {
    const identity = await place.identity();
    const survey = await surveyPlace(place, {
      aliases: aliasesIn(config, destination),
      signal,
      isOthers,
      onProgress: (objects) => onProgress(`lists ${destination}: ${objects} objects`),
    });
    const differences = new Differences(destination);
    let compared = 0;
    for (let after = ''; ;) {
      const page = await copiesIn(catalog, destination, { after, limit: PAGE });
      const looks = await lookAtAll(place, page, survey, signal);
      await requireSamePlace(request, identity);
      for (const { copy, look } of looks) await settle(request, copy, look, differences);
      for (const { copy, look } of looks) {
        const listed = survey.backups.get(folderOf(copy)) ?? [];
        if (look.published && (copy.hold || listed.some(({ key }) => key === HOLD_FILE)))
          await compareHold({ catalog, place, signal, differences }, { ...copy, destination });
      }
      for (const copy of page) await tellOthers(place, survey, copy, signal, differences);
      compared += page.length;
      onProgress(`compares ${destination}: ${compared} copies`);
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.backupId;
    }
    const importer = new Importer(catalog, config, request);
    await takeUnknown(request, place, survey, importer, differences);
    await importer.finish();
    for (const { key, sizeBytes } of survey.elsewhere.first)
      differences.add('extra', null, `${key}, ${sizeBytes} bytes`);
    return differences.report({ compared, moreElsewhere: survey.elsewhere.count - survey.elsewhere.first.length });
  });
}

/**
 * Asked after everything that a mark rests on was looked at, and before the mark: a volume that went away or was changed for another
 * one in between has none of the copies, and that says nothing about them.
 */
async function requireSamePlace({ open, destination }: CompareRequest, identity: string): Promise<void> {
  const now = await open((place) => place.identity());
  if (now === identity) return;
  throw new CofreError('not-mounted', `another place is mounted as ${destination} since it was listed`, {
    hint: 'look what is mounted there; nothing was marked',
  });
}

interface Looked {
  readonly copy: KnownCopy;
  readonly look: Look;
}

async function lookAtAll(
  place: Destination,
  page: readonly KnownCopy[],
  survey: Survey,
  signal: AbortSignal,
): Promise<Looked[]> {
  const looks: Looked[] = [];
  await eachAtOnce(page.filter(isSettled), async (copy) => {
    if (copy.objects === null) return;
    const listed = survey.backups.get(folderOf(copy)) ?? [];
    looks.push({ copy, look: await lookAtCopy(place, { ...copy, objects: copy.objects }, listed, signal) });
  });
  return looks;
}

/** Whether a copy stands still: what is under way or is being deleted is as its own run says. */
function isSettled({ backupState, state }: KnownCopy): boolean {
  if (backupState !== 'complete' && backupState !== 'incomplete') return false;
  return state === 'verified' || state === 'uploaded' || state === 'missing' || state === 'suspect';
}

/** Records what was seen, where it is not what the catalog says already. */
async function settle(
  { catalog, destination }: CompareRequest,
  copy: KnownCopy,
  { is, wrong, published }: Look,
  differences: Differences,
): Promise<void> {
  const { state } = copy;
  // Its object is there and not proven yet: the manifest comes after the proof.
  if (state === 'uploaded' && !published) return;
  const mark = { ...copy, destination };
  if (is === 'whole') {
    // By names and sizes, as before: only reading it in full can clear it.
    if (state === 'suspect') differences.add('damaged', copy, 'it was found damaged when it was read');
    if (state === 'missing' && (await markCopy(catalog, mark, 'uploaded', null)))
      differences.add('found', copy, 'it is there again, and not proven yet');
    return;
  }
  const error = {
    code: is === 'missing' ? 'not-found' : 'bad-content',
    message: wrong.join(', '),
    hint: `cofre sync ${destination} --repair brings it back from another copy`,
  };
  if (is !== state && !(await markCopy(catalog, mark, is, error))) return;
  differences.add(is === 'missing' ? 'missing' : 'damaged', copy, wrong.join(', '));
}

/** What lies in the folder of a copy and belongs to nothing; the folder is done with then. */
async function tellOthers(
  place: Destination,
  survey: Survey,
  copy: KnownCopy,
  signal: AbortSignal,
  differences: Differences,
): Promise<void> {
  const folder = folderOf(copy);
  const found = survey.backups.get(folder) ?? [];
  // What came of a failed backup is looked at below: a whole one may have.
  if (copy.backupState === 'failed' || copy.objects === null) return;
  survey.backups.delete(folder);
  if (copy.state === 'deleted' && found.some(({ key }) => key === MANIFEST))
    differences.add('extra', copy, 'it was deleted or given up here, and its manifest is there');
  if (!isSettled(copy)) return;
  const own = new Set([MANIFEST, HOLD_FILE, ...copy.objects.map(({ key }) => key)]);
  await tellExtras(
    place,
    folder,
    found.filter(({ key }) => !own.has(key)),
    signal,
    differences,
  );
}

/** Looked at again: a run may have removed its own meanwhile. */
async function tellExtras(
  place: Destination,
  folder: string,
  objects: readonly StoredObject[],
  signal: AbortSignal,
  differences: Differences,
): Promise<void> {
  for (const { key } of objects) {
    const found = await unlessMissing(place.stat(folder + key, { signal }));
    if (found !== undefined) differences.add('extra', namesOf(folder), `${folder}${key}, ${found.sizeBytes} bytes`);
  }
}

/** What is left of the survey: folders of which the catalog has no copy here. */
async function takeUnknown(
  { catalog, signal, onProgress, destination }: CompareRequest,
  place: Destination,
  survey: Survey,
  importer: Importer,
  differences: Differences,
): Promise<void> {
  const folders = [...survey.backups.keys()].sort();
  for (let at = 0; at < folders.length; at += PAGE) {
    const page = folders.slice(at, at + PAGE);
    const states = await backupStates(
      catalog,
      page.map((folder) => namesOf(folder).backupId),
    );
    // Those that run are in the catalog before anything of them is here, and the catalog was asked after the list.
    const still = page.filter((folder) => (states.get(namesOf(folder).backupId) ?? 'failed') !== 'running');
    await eachAtOnce(still, async (folder) => {
      const found = survey.backups.get(folder) ?? [];
      if (!found.some(({ key }) => key === MANIFEST)) {
        await tellExtras(place, folder, found, signal, differences);
        return;
      }
      try {
        const imported = await importer.take(place, folder, signal);
        if (imported !== 'nothing') differences.add('imported', namesOf(folder), 'it is not proven yet');
        if (imported !== 'nothing')
          await compareHold({ catalog, place, signal, differences }, { ...namesOf(folder), destination });
      } catch (error) {
        if (!(error instanceof CofreError) || !NOT_TAKEN.has(error.code)) throw error;
        differences.add('refused', namesOf(folder), messageOf(error));
      }
    });
    onProgress(`takes what ${destination} has and the catalog does not: ${at + page.length} of ${folders.length}`);
  }
}

function folderOf({ environment, backupId }: Pick<KnownCopy, 'environment' | 'backupId'>): string {
  return `${environment}/${backupId}/`;
}
