import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 collect garbage in one go from now on. Bytes that pass through this process are buffers outside of V8's heap; V8
 * takes each for a reason to go on marking the whole heap step by step, again and again, which cost as much as all the rest
 * of an upload (`ssh2`: 209 times in eight uploads of 246 MB, and 12 in one go). The heap itself is small, so that one go
 * takes milliseconds.
 */
export function collectGarbageAtOnce(): void {
  setFlagsFromString('--no-incremental-marking');
}
