import { CofreError } from '../errors/error.ts';

/** A symbolic link below a destination may lead anywhere: nothing is read, written or removed behind it. */
export function refuseLink(path: string, destination: string): CofreError {
  return new CofreError('access-denied', `${path} is a symbolic link, and ${destination} does not follow any`, {
    hint: 'remove it; what lies elsewhere can be mounted at this place',
  });
}
