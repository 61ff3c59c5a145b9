import type { ErrorCode } from 'yaml';

/**
 * What is wrong with the YAML itself, in Cofre's words: the parser's own messages quote the text,
 * and the text may be a secret that somebody wrote in the wrong place.
 */
const MESSAGES: Partial<Record<ErrorCode, string>> = {
  BAD_DIRECTIVE: 'a line that begins with % is not known; leave it out',
  BAD_DQ_ESCAPE: 'an unknown \\ sequence in double quotes; use single quotes, or \\\\ for a backslash',
  BAD_INDENT: 'the indentation does not fit the lines above, or a quote or bracket is not closed',
  BAD_SCALAR_START: 'a value that begins with @, %, ` or the like must be in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'two colons on one line; put the value in quotes',
  BLOCK_IN_FLOW: 'an indented block cannot stand inside { } or [ ]',
  KEY_OVER_1024_CHARS: 'the name of this field is too long',
  MISSING_CHAR: 'a colon, a comma, a closing quote or a bracket is missing here or before',
  MULTILINE_IMPLICIT_KEY: 'a colon is missing on this line or the one before',
  MULTIPLE_DOCS: 'a second document begins here (---); a file holds one',
  NON_STRING_KEY: 'the name of a field must be plain text',
  RESOURCE_EXHAUSTION: 'nested too deeply',
  TAB_AS_INDENT: 'a tab; indent with spaces',
  TAG_RESOLVE_FAILED: 'a value that begins with ! is not known; put it in quotes if it is text',
};

export function syntaxMessage(code: ErrorCode): string {
  return `not valid YAML: ${MESSAGES[code] ?? 'this does not belong here'}`;
}
