import { Command, InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../core/clock.ts'
import { encryptionCurves } from '../tokens/encryption-key.ts'
import { type CliContext, packageVersion } from './context.ts'
import { exitCodes, reportError } from './terminal.ts'

/** Runs the command in the arguments of this process. If it fails, the process exits. */
export async function runProgram(context: CliContext): Promise<void> {
  const { stdout, stderr } = context
  for (const output of [stdout, stderr]) {
    output.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') process.exit(reportError(error, stderr))
      // The reader of a pipe may leave early, such as `head`. The command still does its work.
      process.exitCode = exitCodes.failed
    })
  }
  try {
    await buildProgram(context).parseAsync()
  } catch (error) {
    // An open timer or channel to a parent would keep the process running.
    process.exit(reportError(error, stderr))
  }
}

/** Builds the command line. The code of a command loads when the command runs. */
export function buildProgram(context: CliContext): Command {
  const { stdout, stderr } = context
  const program = new Command('gatepass')
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    })
    .description('Stateless JWT authentication: an issuer signs tokens, any server verifies them.')
    .version(packageVersion())
    .option(
      '--config <file>',
      'settings file (JSON); default: GATEPASS_CONFIG, then ./gatepass.json',
    )
    .hook('preAction', () => {
      const { config } = program.opts<{ config?: string }>()
      if (config !== undefined) context.configFile = config
    })
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `
Settings are environment variables named GATEPASS_*. To read a setting from a file, set the variable
with the suffix _FILE. "gatepass config" shows all settings.

Exit codes: 0 success, 1 failure, 2 invalid usage or configuration.`,
    )
  addServices(program, context)
  addKeys(program, context)
  addClients(program, context)
  addUsers(program, context)
  addSessions(program, context)
  addData(program, context)
  addLogin(program, context)
  addMaintenance(program, context)
  return program
}

function json(): Option {
  return new Option('--json', 'print JSON').default(false)
}

function addServices(program: Command, context: CliContext): void {
  program
    .command('dev')
    .description('run an issuer and two verifiers on this machine, with a demo user')
    .option('--port <number>', 'port of the issuer; the verifiers use 100 and 200 above it', '4000')
    .option('--shop <file>', 'also run replicas of this shop program, for the playground')
    .action(async (options) => (await import('./commands/dev.ts')).runDev(context, options))
  program
    .command('issuer')
    .description('run the issuer: sign users in, refresh tokens, publish the keys')
    .action(async () => {
      // Before the code of the command, which takes most of the start.
      const { handleEarlySignals } = await import('./shutdown.ts')
      handleEarlySignals({ reloads: true })
      await (await import('./commands/issuer.ts')).runIssuer(context)
    })
  program
    .command('verifier')
    .description('run a verifier: check tokens for reverse proxies')
    .action(async () => {
      const { handleEarlySignals } = await import('./shutdown.ts')
      handleEarlySignals({ reloads: false })
      await (await import('./commands/verifier.ts')).runVerifier(context)
    })
}

function addKeys(program: Command, context: CliContext): void {
  const load = () => import('./commands/keys.ts')
  const keys = program
    .command('keys')
    .description('list, rotate or revoke signing keys; create encryption keys')
  keys
    .command('list')
    .description('list every key: pending, active, retiring or revoked')
    .addOption(json())
    .action(async (options) => (await load()).listKeys(context, options))
  keys
    .command('rotate')
    .description('publish a new key now; the key signs when every verifier has it')
    .addOption(json())
    .action(async (options) => (await load()).rotateKeys(context, options))
  keys
    .command('revoke')
    .description('revoke compromised keys and all their tokens; a new key signs immediately')
    .argument('<key...>', 'kids or names, as shown by "keys list"')
    .addOption(json())
    .action(async (keys, options) => (await load()).revokeKeys(context, keys, options))
  keys
    .command('encryption')
    .description('create a key pair for encrypted tokens and print the public key')
    .argument('<file>', 'new file for the private key')
    .addOption(
      new Option('--curve <name>', 'curve of the keys').choices(encryptionCurves).default('P-256'),
    )
    .action(async (file, options) => (await load()).createEncryptionKey(context, file, options))
}

function addClients(program: Command, context: CliContext): void {
  program
    .command('clients')
    .description('make secrets for clients')
    .command('secret')
    .description('make a secret; prints it, and its hash for secret_hashes in GATEPASS_CLIENTS')
    .action(async () => {
      const { createClientSecret } = await import('../oauth/client-secret.ts')
      context.stdout.write(`${JSON.stringify(createClientSecret())}\n`)
    })
}

function addUsers(program: Command, context: CliContext): void {
  const load = () => import('./commands/users.ts')
  const users = program.command('users').description('add, change, disable or import users')
  users
    .command('add <login-name>')
    .description('add a user; reads the password from the terminal or from standard input')
    .option('--generate-password', 'generate a password and print it')
    .option('--attributes <json>', 'attributes of the user, such as {"name":"Ada"}')
    .action(async (name, options) => (await load()).addUser(context, name, options))
  users
    .command('list')
    .description('list all users')
    .addOption(json())
    .action(async (options) => (await load()).listUsers(context, options))
  users
    .command('passwd <login-name>')
    .description(
      'change a password and end all sessions of the user; reads the password like "users add"',
    )
    .action(async (name) => (await load()).changePassword(context, name))
  users
    .command('disable [login-name]')
    .description('refuse logins of a user and end all sessions')
    .option('--id <user-id>', 'id of the user, even of a deleted account')
    .action(async (name, { id }, command) => {
      if ((name === undefined) === (id === undefined)) {
        command.error('error: give either a login name or --id')
      }
      const { disableUser, disableUserById } = await load()
      return id === undefined ? disableUser(context, name) : disableUserById(context, id)
    })
  users
    .command('enable <login-name>')
    .description('allow a disabled user to sign in')
    .action(async (name) => (await load()).enableUser(context, name))
  users
    .command('import <file>')
    .description('import users with their password hashes from NDJSON ("-": standard input)')
    .addOption(json())
    .addHelpText(
      'after',
      `
One user per line: {"login_name": "...", "password_hash": "...", "sub"?, "attributes"?, "disabled"?}
The hash is Argon2id or scrypt in PHC form, or bcrypt. The command reports and skips invalid lines and
skips users that exist. It exits with 1 if a line was invalid.`,
    )
    .action(async (file, options) => (await load()).importFile(context, file, options))
}

function addSessions(program: Command, context: CliContext): void {
  program
    .command('sessions')
    .description('end many sessions at once')
    .command('end')
    .description('end sessions and their access tokens: all, or those created before a time')
    .addOption(
      new Option('--before <time>', 'end sessions created before this time (ISO 8601)').argParser(
        pastMs,
      ),
    )
    .addOption(new Option('--all', 'end all sessions').conflicts('before'))
    .addHelpText(
      'after',
      `
Use it after restoring a session store from a backup: the backup contains sessions and refresh tokens
that have ended since. Access tokens of newer sessions are refused too; their clients refresh.`,
    )
    .action(async ({ before, all }, command) => {
      if (before === undefined && !all) command.error('error: give --before <time> or --all')
      const { endSessions } = await import('./commands/maintenance.ts')
      await endSessions(context, before ?? Number.MAX_SAFE_INTEGER)
    })
}

const isoTime = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/

/** Parses a past time in ISO 8601. @returns milliseconds since 1970 */
function pastMs(text: string): number {
  const [, day] = isoTime.exec(text) ?? []
  // JavaScript reads 30 February as a day of March.
  const isDay = day !== undefined && new Date(`${day}T00:00Z`).toJSON()?.startsWith(day)
  const timeMs = isDay ? Date.parse(text) : Number.NaN
  if (Number.isNaN(timeMs)) {
    const form = 'YYYY-MM-DDThh:mm:ssZ, or with an offset such as +01:00 instead of Z'
    throw new InvalidArgumentError(`The time must be in ISO 8601: ${form}.`)
  }
  if (timeMs > systemClock.nowMs()) throw new InvalidArgumentError('The time is in the future.')
  return timeMs
}

function addData(program: Command, context: CliContext): void {
  const load = () => import('./commands/data.ts')
  const user = () =>
    new Option(
      '--user <login-name>',
      'the user: their own data and the data of their active sessions',
    ).makeOptionMandatory()
  const data = program.command('data').description('export or erase the data of a user')
  data
    .command('export')
    .description('print all user data and session data of a user')
    .addOption(user())
    .addOption(json())
    .action(async (options) => (await load()).exportData(context, options))
  data
    .command('erase')
    .description('delete all user data and session data of a user; the user stays signed in')
    .addOption(user())
    .action(async (options) => (await load()).eraseData(context, options))
}

function issuerOption(): Option {
  return new Option('--issuer <url>', 'URL of the issuer; default: GATEPASS_ISSUER').argParser(
    (url) => {
      if (url === '') throw new InvalidArgumentError('The URL is empty.')
      return url
    },
  )
}

function addLogin(program: Command, context: CliContext): void {
  const load = () => import('./commands/login.ts')
  program
    .command('login [user-name]')
    .description('sign in with the browser; with a user name, by password')
    .addOption(issuerOption())
    .option('--browser', 'use the browser, also with a user name or without a terminal')
    .addOption(
      new Option(
        '--password',
        'read the password from the terminal or from standard input',
      ).conflicts('browser'),
    )
    .option(
      '--client <id>',
      'client to sign in with; default: gatepass-cli, or by password the first client of the issuer',
    )
    .option('--scope <scopes>', 'scopes separated by spaces; default: those of the client')
    .action(async (name, options) => (await load()).login(context, name, options))
  program
    .command('logout')
    .description('sign out and end the session')
    .addOption(issuerOption())
    .action(async (options) => (await load()).logout(context, options))
  program
    .command('token')
    .description('print a valid access token; refreshes it if necessary')
    .addOption(issuerOption())
    .action(async (options) => (await load()).printToken(context, options))
    .command('inspect [token]')
    .description('show what a token allows, or why it is refused ("-": from standard input)')
    .option('--jwks <file>', 'file with the keys (JWK Set); nothing is fetched')
    .option('--audience <name>', 'required audience; default: any audience')
    .addOption(json())
    .addHelpText(
      'after',
      `
Default: the token of "gatepass login". The token is not sent anywhere: the command fetches keys and
revocations and checks the token locally. It exits with 0 if the token is accepted, and with 1 if it is
refused or cannot be checked.`,
    )
    .action(async (token, _own, command) => {
      const { inspectToken } = await import('./commands/inspect.ts')
      await inspectToken(context, token, command.optsWithGlobals())
    })
}

function addMaintenance(program: Command, context: CliContext): void {
  const load = () => import('./commands/maintenance.ts')
  program
    .command('migrate')
    .description('bring the schema of every store up to date')
    .action(async () => (await load()).migrateStores(context))
  program
    .command('config')
    .description('show every setting with its value, source and unit')
    .addOption(
      new Option('--role <role>', 'settings of this role')
        .choices(['issuer', 'verifier'])
        .default('issuer'),
    )
    .addOption(json())
    .action(async (options) => (await load()).showConfig(context, options))
}
