import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

import { samePlace } from '../../activities/source.ts';
import { keepFreeBytes } from '../../config/keep-free.ts';
import type { DestinationConfig } from '../../config/destination-schema.ts';
import type { Config } from '../../config/schema.ts';
import { placeOf } from '../../destinations/place.ts';
import { toolVersion } from '../../sources/postgres/tool-version.ts';
import { placeTrouble, samePlaces, seenFromHere } from '../apply/places.ts';
import { bytesInWords } from '../print.ts';
import { tellSilence } from '../silence.ts';
import { examine, fail, failureOf, ok, warn, type Check } from './check.ts';

const TOOLS = { setpriv: 'util-linux', prlimit: 'util-linux', zstd: 'zstd', tar: 'tar', gzip: 'gzip' } as const;

/** What a host needs beside PostgreSQL's own clients. */
export async function examineTools(): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [name, debianPackage] of Object.entries(TOOLS)) {
    try {
      checks.push(ok('tools', `${name} ${await toolVersion(name)}`));
    } catch {
      checks.push(fail('tools', `${name} is missing on this machine`, `install the package ${debianPackage}`));
    }
  }
  return checks;
}

/** The folder for work in progress: there or to be made, ours alone, and with room. */
export async function examineSpool(config: Config, host: string | undefined): Promise<Check[]> {
  const settings = host === undefined ? undefined : config.hosts[host];
  if (settings === undefined) {
    return [
      warn(
        'spool',
        'the configuration does not say which host this machine is; its spool was not looked at',
        'write host: NAME in cofre.yaml',
      ),
    ];
  }
  const { spool, keepFree } = settings;
  return await examine('spool', async () => {
    const found = await stat(spool).catch(() => undefined);
    if (found === undefined) {
      const parent = await access(dirname(spool), constants.W_OK).then(
        () => true,
        () => false,
      );
      if (parent) return [ok('spool', `${spool} is not there yet; the worker makes it`)];
      return [
        fail(
          'spool',
          `${spool} is not there and cannot be made by this user`,
          `mkdir -p -m 700 ${spool}, owned by the user that runs the worker`,
        ),
      ];
    }
    if (!found.isDirectory()) return [fail('spool', `${spool} is not a folder`, 'give the host another spool')];
    const checks: Check[] = [];
    if ((found.mode & 0o022) !== 0)
      checks.push(fail('spool', `others may write to ${spool}, so the worker refuses it`, `chmod 700 ${spool}`));
    else if ((found.mode & 0o077) !== 0)
      checks.push(warn('spool', `others may look into ${spool}, where dumps lie`, `chmod 700 ${spool}`));
    await access(spool, constants.W_OK | constants.X_OK);
    const { bavail, blocks, bsize } = await statfs(spool);
    const room = bavail * bsize - keepFreeBytes(keepFree, blocks * bsize);
    const words = `${spool} has ${bytesInWords(bavail * bsize)} free, of which ${keepFree} stay free`;
    checks.push(
      room > 0
        ? ok('spool', `${words}: room for ${bytesInWords(room)}`)
        : fail('spool', `${words}: no room for a dump`, 'make room, or lower keepFree'),
    );
    return checks;
  });
}

/** The destinations that this machine sees: there, marked and, of a folder, writable. */
export async function examineDestinations(config: Config, host: string | undefined): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [destination, settings] of seenFromHere(config, host)) {
    checks.push(...(await examine('destination', () => examinePlace(destination, settings))));
  }
  for (const pair of await samePlaces(config, host)) checks.push(failureOf('destination', samePlace(...pair)));
  return checks;
}

async function examinePlace(destination: string, settings: DestinationConfig): Promise<Check[]> {
  const place = placeOf(settings);
  const state = await tellSilence(destination, place.state());
  if (state !== 'prepared') {
    const { message, hint } = placeTrouble({ destination, place, state });
    return [fail('destination', message, hint)];
  }
  if (settings.type !== 'directory')
    return [ok('destination', `${destination}: ${place.what} is there and can be read`)];
  return await examineFolder(destination, settings.path);
}

async function examineFolder(destination: string, path: string): Promise<Check[]> {
  const writable = await access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!writable)
    return [
      fail(
        'destination',
        `${destination}: this user may not write to ${path}`,
        'the user that runs the worker must own the folder',
      ),
    ];
  const { bavail, bsize } = await statfs(path);
  return [ok('destination', `${destination}: ${path} is mounted and writable, ${bytesInWords(bavail * bsize)} free`)];
}
