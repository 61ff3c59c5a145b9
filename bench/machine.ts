import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

import { toolVersion } from '../sources/postgres/tool-version.ts';
import type { Bench } from './bench.ts';

/** What the figures depend on, in one line of Markdown. */
export async function machineInWords(bench: Bench): Promise<string> {
  const [server] = await bench.sql(`select current_setting('server_version') as version`);
  const { version } = await bench.clients();
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  return [
    `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`,
    `${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
    `${system}, Linux ${release()}`,
    `PostgreSQL ${String(server?.['version'])} with default settings`,
    `pg_dump ${version}`,
    `zstd ${await toolVersion('zstd')}`,
    `gzip ${await toolVersion('gzip')}`,
    `Node.js ${process.versions.node}`,
  ].join(', ');
}
