/** What the two pipelines leave in an attempt's folder. */
export const RAW_FOLDER = 'raw';
export const STAGED_FILE = 'database.tar';
export const STREAMED_FILE = 'database.dump.zst';
