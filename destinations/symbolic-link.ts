import { CofreError } from '../errors/error.ts';

/** A symbolic link below a destination may lead anywhere: nothing is read, written or removed behind it. */
export function refuseLink(path: string, destination: string): CofreError {
  return new CofreError('access-denied', `${path} is a symbolic link, and ${destination} does not follow any`, {
    hint: 'put the folder itself there, or mount its volume at this place',
  });
}
