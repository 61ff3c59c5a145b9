import { tell } from './print.ts';

/** A place that accepts connections and says nothing is given up after minutes. */
const SILENT_MS = 10_000;

/** Waits for what a destination was asked, and says so where it takes long. */
export async function tellSilence<T>(destination: string, asked: Promise<T>): Promise<T> {
  const timer = setTimeout(() => tell(`${destination} has not answered yet; Ctrl-C gives up`), SILENT_MS);
  try {
    return await asked;
  } finally {
    clearTimeout(timer);
  }
}
