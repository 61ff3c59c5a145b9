import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { VERSION } from '../../version.ts';
import { cofre } from './cofre-process.ts';

const COMMANDS = [
  'backup',
  'restore',
  'ensure',
  'backups',
  'show',
  'status',
  'runs',
  'follow',
  'cancel',
  'run',
  'pause',
  'resume',
  'up',
  'worker',
  'apply',
  'doctor',
  'accept',
  'sync',
  'catalog',
  'destination',
];

describe('the command line', () => {
  test('the help names every command and the options that all of them take', async () => {
    const { code, stdout } = await cofre(['--help']);
    assert.equal(code, 0);
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command}( |$)`, 'm'));
    for (const option of ['--config', '--json', '--no-follow', '--quiet', '--yes', '--version'])
      assert.ok(stdout.includes(option), option);
  });

  test('the help of each command has examples, exit codes and the global options', async () => {
    const helps = await Promise.all(
      COMMANDS.filter((name) => name !== 'destination' && name !== 'catalog').map((name) => cofre([name, '--help'])),
    );
    for (const { code, stdout } of helps) {
      assert.equal(code, 0);
      for (const part of ['Examples:', 'Exit codes:', '--json'])
        assert.ok(stdout.includes(part), `${part} is missing in\n${stdout}`);
    }
  });

  test('an unknown command is exit code 2 with the command that was probably meant', async () => {
    const { code, stdout, stderr } = await cofre(['bakup', 'acme-prod']);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
    assert.equal(stderr, "cofre: unknown command 'bakup'\n  → did you mean backup?\n");
  });

  test('an unknown option is exit code 2 with the option that was probably meant', async () => {
    const { code, stderr } = await cofre(['ensure', 'acme-prod', '--create-emty']);
    assert.equal(code, 2);
    assert.equal(stderr, "cofre: unknown option '--create-emty'\n  → did you mean --create-empty?\n");
  });

  test('no command at all is exit code 2 and shows the help, not on stdout', async () => {
    const { code, stdout, stderr } = await cofre([]);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
    assert.match(stderr, /Usage: cofre/);
  });

  test('--version prints the version alone', async () => {
    assert.deepEqual(await cofre(['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' });
  });

  test('a failure with --json is one JSON document with code, message and hint, and no stack anywhere', async () => {
    const { code, stdout, stderr } = await cofre(['backup', 'acme-prod', '--config', '/nowhere/cofre.yaml', '--json']);
    assert.equal(code, 2);
    const { error } = JSON.parse(stdout) as { error: Record<string, string> };
    assert.equal(error['code'], 'bad-config');
    assert.match(stderr, /^cofre: .*\/nowhere\/cofre\.yaml.*\n {2}→ /);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });

  test('kinds that this version does not have are refused by name', async () => {
    const { code, stderr } = await cofre(['backup', 'acme-prod', '--kind', 'files']);
    assert.equal(code, 2);
    assert.match(stderr, /no backups of the kind "files" yet/);
  });

  test('a restore that was asked for in a way that makes no sense is exit code 2 before anything is reached', async () => {
    const mistakes = [
      ['--from', 'a'],
      ['--to', 'a'],
      ['--latest', '--backup', 'x', '--to', 'a'],
      ['--file', '/x', '--from', 'a', '--to', 'a'],
    ];
    for (const mistake of mistakes) assert.equal((await cofre(['restore', ...mistake])).code, 2, mistake.join(' '));
  });
});
