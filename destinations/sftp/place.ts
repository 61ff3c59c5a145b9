import type { SftpConfig } from '../../config/destination-schema.ts';
import { CofreError } from '../../errors/error.ts';
import type { Place } from '../place.ts';
import { folderState, prepareFolder, requireMarker } from './marker.ts';
import { PATIENT, SftpSession } from './session.ts';

/** A folder on an SFTP server that is, or is to be, a destination. */
export function sftpPlace(config: SftpConfig): Place {
  const { path } = config;
  return {
    what: `the folder ${path} on ${config.host}`,
    hints: {
      missing: 'make the folder there, as the user of the destination',
      empty: 'look whether its volume is mounted on the server',
    },
    state: () => withSession(config, (session) => folderState(session, path)),
    identities: () => withSession(config, async (session) => [await requireMarker(session, path)]).catch(noneOf),
    prepare: (options) => withSession(config, (session) => prepareFolder(session, path, options)),
  };
}

async function withSession<T>(config: SftpConfig, use: (session: SftpSession) => Promise<T>): Promise<T> {
  const session = await SftpSession.open(config, PATIENT);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

function noneOf(error: unknown): string[] {
  if (error instanceof CofreError) return [];
  throw error;
}
