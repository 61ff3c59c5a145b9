import { CofreError } from '../errors/error.ts';
import { RESERVED_KEY } from './key.ts';

const HINT = 'look what answers at its address: a proxy, a login page or another service may';

/**
 * What a service gives as a list must be one. A page leads on to another than itself, or listing would never end; and the list of
 * everything has the marker in it: an answer without it would pass for a destination that has nothing.
 */
export class ListProof {
  readonly #url: string;
  readonly #isOfAll: boolean;
  #hasMarker = false;
  #last: string | undefined;

  constructor(url: string, prefix: string) {
    this.#url = url;
    this.#isOfAll = prefix === '';
  }

  saw(key: string): void {
    if (key === RESERVED_KEY) this.#hasMarker = true;
  }

  /** At the end of a page; `next` is what leads to the next one. @throws CofreError `destination-unavailable`. */
  turn(next: string | undefined): void {
    if (next !== undefined && next === this.#last) {
      throw new CofreError('destination-unavailable', `${this.#url} gives the same page of a list again and again`, {
        hint: HINT,
      });
    }
    this.#last = next;
  }

  /** At the end of the list. @throws CofreError `destination-unavailable`. */
  end(): void {
    if (!this.#isOfAll || this.#hasMarker) return;
    throw new CofreError(
      'destination-unavailable',
      `${this.#url} gave a list without ${RESERVED_KEY}, which is there`,
      {
        hint: HINT,
      },
    );
  }
}
