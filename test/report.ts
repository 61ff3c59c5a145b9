import { relative, resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

type Result = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>;

/** How Node reports a test that a name pattern leaves out: that is no test which somebody switched off. */
const LEFT_OUT = 'test name does not match pattern';

/** Counts the results of test files and prints them as they come: a line for each file, each failure with its file and cause. */
export class Report {
  passed = 0;
  readonly failures: { readonly what: string; readonly why: string }[] = [];
  /** Printed after the names of files: how they run, when not as usual. */
  suffix = '';
  readonly #folder: string;
  /** By file: the tests that have begun and not ended. */
  readonly #underWay = new Map<string, Set<string>>();

  /** `folder`: the one that file names are printed relative to. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  take(event: TestEvent): void {
    if (event.type === 'test:stdout' || event.type === 'test:stderr') process.stderr.write(event.data.message);
    if (event.type === 'test:dequeue' && !isFile(event.data)) this.#underWayIn(event.data.file).add(event.data.name);
    if (event.type === 'test:complete') this.#underWayIn(event.data.file).delete(event.data.name);
    if (event.type === 'test:pass' || event.type === 'test:fail') this.#takeResult(event);
    if (event.type === 'test:complete' && isFile(event.data)) {
      const seconds = (event.data.details.duration_ms / 1000).toFixed(1).padStart(6);
      console.log(`${event.data.details.passed ? 'ok  ' : 'FAIL'} ${seconds} s  ${this.#fileOf(event.data.file)}`);
    }
  }

  fail(what: string, why: string): void {
    this.failures.push({ what, why });
    console.log(`\nFAILED  ${what}\n${why.replace(/^/gm, '    ')}\n`);
  }

  /** The last lines of the run. The failures once more, of which a long run has put each far above its end. */
  end(): void {
    for (const { what, why } of this.failures) console.log(`FAILED  ${what}: ${why.split('\n', 1).join()}`);
    console.log(`${this.passed} passed, ${this.failures.length} failed`);
  }

  #takeResult({ type, data }: Result): void {
    const what = isFile(data) ? this.#fileOf(data.file) : `${this.#fileOf(data.file)}: ${data.name}`;
    if (data.skip === LEFT_OUT) return;
    if (data.skip !== undefined) return this.fail(what, 'it is skipped: every test must run');
    if (data.todo !== undefined) return this.fail(what, 'it is marked as something to do: every test must hold');
    if (type === 'test:fail') {
      // A suite that fails because of its tests is told by those.
      const { message, cause } = data.details.error;
      if (failureType(data.details.error) === 'testTimeoutFailure')
        this.fail(what, `${message}: ${this.#whereItHangs(data.file)}`);
      else if (failureType(data.details.error) !== 'subtestsFailed')
        this.fail(what, cause instanceof Error ? inspect(cause) : message);
    } else if (isFile(data)) {
      this.fail(what, 'it holds no test');
    } else if (data.details.type !== 'suite') {
      this.passed += 1;
    }
  }

  #underWayIn(file = ''): Set<string> {
    const names = this.#underWay.get(file) ?? new Set();
    this.#underWay.set(file, names);
    return names;
  }

  #whereItHangs(file: string | undefined): string {
    const names = [...this.#underWayIn(file)];
    return names.length === 0 ? 'between two tests, or after the last' : `in ${names.join(', ')}`;
  }

  #fileOf(file: string | undefined): string {
    return relative(this.#folder, file ?? '').replace(/\.js$/, '.ts') + this.suffix;
  }
}

/** Node reports a file as a test of its own when it has ended, could not be loaded, took too long or has no test. */
function isFile(data: { readonly name: string; readonly file?: string }): boolean {
  return data.file !== undefined && resolve(data.name) === data.file;
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}
