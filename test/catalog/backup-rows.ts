import { newBackupId } from '../../catalog/backup-id.ts';
import { recordCopy, recordDump, startBackup } from '../../catalog/backups.ts';
import type { Catalog } from '../../catalog/open.ts';

/** Of every object. */
export const SHA256 = 'e'.repeat(64);

/** Writes rows of backups as the steps of a run do. Each begins an hour after the one before. */
export class BackupRows {
  readonly #catalog: Catalog;
  #made = 0;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  async running(environment: string): Promise<string> {
    this.#made += 1;
    const startedAt = new Date(Date.UTC(2026, 10, 1, this.#made));
    const id = newBackupId(startedAt, this.#made.toString(16).padStart(8, '0'));
    await startBackup(this.#catalog, {
      id,
      environment,
      kind: 'database',
      mode: 'full',
      pipeline: 'staged',
      workflowId: `op/${environment}`,
      runId: `run-${this.#made}`,
      configVersion: 1,
      startedAt: startedAt.toISOString(),
    });
    return id;
  }

  async dumped(environment: string, rawBytes = 1000): Promise<string> {
    const backupId = await this.running(environment);
    await recordDump(this.#catalog, { backupId, attempt: 'a1-1', host: 'erp-01', rows: 7, rawBytes, warnings: [] });
    return backupId;
  }

  async verified(environment: string, rawBytes = 1000, sizeBytes = 200): Promise<string> {
    const backupId = await this.dumped(environment, rawBytes);
    await this.verify(backupId, 'volume', { sizeBytes });
    return backupId;
  }

  async verify(backupId: string, destination: string, { attempt = 'a1-1', sizeBytes = 200 } = {}): Promise<string> {
    const copy = { backupId, destination, attempt, sizeBytes, sha256: SHA256 };
    return await recordCopy(this.#catalog, { ...copy, state: 'verified' });
  }
}
