import { Command, InvalidArgumentError, Option } from 'commander'
import { systemClock } from '../core/clock.ts'
import { encryptionCurves } from '../tokens/encryption-key.ts'
import { type CliContext, packageVersion } from './context.ts'

/**
 * The command line. A command's code is loaded when it runs, so that `--help` and a service start
 * without the rest.
 */
export function buildProgram(context: CliContext): Command {
  const program = new Command('gatepass')
    .description('Stateless JWT authentication: an issuer that signs, verifiers that check alone.')
    .version(packageVersion())
    .option('--config <file>', 'settings file (JSON); else GATEPASS_CONFIG, else ./gatepass.json')
    .hook('preAction', () => {
      const { config } = program.opts<{ config?: string }>()
      if (config !== undefined) context.configFile = config
    })
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `
Settings are environment variables named GATEPASS_*; each can be read from a file by the same name
with _FILE. "gatepass config" shows them all.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.`,
    )
  addServices(program, context)
  addKeys(program, context)
  addUsers(program, context)
  addSessions(program, context)
  addData(program, context)
  addPeople(program, context)
  addMaintenance(program, context)
  return program
}

function json(): Option {
  return new Option('--json', 'print JSON').default(false)
}

function addServices(program: Command, context: CliContext): void {
  program
    .command('dev')
    .description('run an issuer and two verifiers here, with a demo user, to try it all out')
    .option('--port <number>', "the issuer's port; verifiers take 100 and 200 above", '4000')
    .action(async (options) => (await import('./commands/dev.ts')).runDev(context, options))
  program
    .command('issuer')
    .description('run the issuer: signs users in, refreshes, publishes the keys')
    .action(async () => (await import('./commands/issuer.ts')).runIssuer(context))
  program
    .command('verifier')
    .description('run a verifier: checks tokens for reverse proxies')
    .action(async () => (await import('./commands/verifier.ts')).runVerifier(context))
}

function addKeys(program: Command, context: CliContext): void {
  const keys = program
    .command('keys')
    .description('look at signing keys, rotate or revoke them; make keys for encryption')
  keys
    .command('list')
    .description('show every key: pending, active, retiring or revoked')
    .addOption(json())
    .action(async (options) => (await import('./commands/keys.ts')).listKeys(context, options))
  keys
    .command('rotate')
    .description('publish a new key now; it signs once every verifier has it')
    .addOption(json())
    .action(async (options) => (await import('./commands/keys.ts')).rotateKeys(context, options))
  keys
    .command('revoke')
    .description('refuse keys that got out, and all their tokens; a new one signs at once')
    .argument('<key...>', 'their kids or names, as "keys list" shows them')
    .addOption(json())
    .action(async (keys, options) =>
      (await import('./commands/keys.ts')).revokeKeys(context, keys, options),
    )
  keys
    .command('encryption')
    .description('make a key pair for encrypted tokens; prints the public key')
    .argument('<file>', 'where the private key goes: a new file')
    .addOption(
      new Option('--curve <name>', 'the curve of the keys')
        .choices(encryptionCurves)
        .default('P-256'),
    )
    .action(async (file, options) =>
      (await import('./commands/keys.ts')).makeEncryptionKey(context, file, options),
    )
}

function addUsers(program: Command, context: CliContext): void {
  const load = () => import('./commands/users.ts')
  const users = program.command('users').description('add users, change them, bring them along')
  users
    .command('add <login-name>')
    .description('add a user; the password is asked for, or read from standard input')
    .option('--generate-password', 'make a password and print it')
    .option('--attributes <json>', 'what is known of the user, such as {"name":"Ada"}')
    .action(async (name, options) => (await load()).addUser(context, name, options))
  users
    .command('list')
    .description('show all users')
    .addOption(json())
    .action(async (options) => (await load()).listUsers(context, options))
  users
    .command('passwd <login-name>')
    .description('change a password, asked for or read from standard input; ends all sessions')
    .action(async (name) => (await load()).changePassword(context, name))
  users
    .command('disable [login-name]')
    .description('refuse further logins and end all sessions')
    .option('--id <user-id>', 'the user by id: also one whose account was deleted')
    .action(async (name, { id }, command) => {
      if ((name === undefined) === (id === undefined)) {
        command.error('error: name the user either by login name or with --id')
      }
      const { disableUser, disableUserById } = await load()
      return id === undefined ? disableUser(context, name) : disableUserById(context, id)
    })
  users
    .command('enable <login-name>')
    .description('let a disabled user sign in again')
    .action(async (name) => (await load()).enableUser(context, name))
  users
    .command('import <file>')
    .description('add users with the password hashes they have, from NDJSON ("-": standard input)')
    .addOption(json())
    .addHelpText(
      'after',
      `
One user a line: {"login_name": "...", "password_hash": "...", "sub"?, "attributes"?, "disabled"?}
The hash is Argon2id or scrypt in PHC form, or bcrypt. A bad line is reported and left out; a user
who exists is skipped. Exits 1 when there was a bad line.`,
    )
    .action(async (file, options) => (await load()).importFile(context, file, options))
}

function addSessions(program: Command, context: CliContext): void {
  program
    .command('sessions')
    .description('end many sessions at once')
    .command('end')
    .description(
      'end the sessions that were created before a time, or all; with their access tokens',
    )
    .addOption(
      new Option('--before <time>', 'created before this time (ISO 8601)').argParser(pastMs),
    )
    .addOption(new Option('--all', 'whenever they were created').conflicts('before'))
    .addHelpText(
      'after',
      `
For a session store that was restored from a backup: in it, sessions and refresh tokens that have ended
since are alive again. Access tokens of newer sessions are refused too; their clients refresh.`,
    )
    .action(async ({ before, all }, command) => {
      if (before === undefined && !all) command.error('error: give --before <time> or --all')
      const { endSessions } = await import('./commands/sessions.ts')
      await endSessions(context, before ?? Number.MAX_SAFE_INTEGER)
    })
}

const isoTime = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/

/** A time of the past in ISO 8601, in milliseconds. */
function pastMs(text: string): number {
  const [, day] = isoTime.exec(text) ?? []
  // The 30th of February would be taken for a day of March.
  const isDay = day !== undefined && new Date(`${day}T00:00Z`).toJSON()?.startsWith(day)
  const timeMs = isDay ? Date.parse(text) : Number.NaN
  if (Number.isNaN(timeMs)) {
    const form = 'YYYY-MM-DDThh:mm:ssZ, or with an offset such as +01:00 for the Z'
    throw new InvalidArgumentError(`It must be a time in ISO 8601: ${form}.`)
  }
  if (timeMs > systemClock.nowMs()) throw new InvalidArgumentError('It is in the future.')
  return timeMs
}

function addData(program: Command, context: CliContext): void {
  const load = () => import('./commands/data.ts')
  const user = () =>
    new Option(
      '--user <login-name>',
      'whose: their own data, and that of their live sessions',
    ).makeOptionMandatory()
  const data = program.command('data').description('hand over or erase what is kept for a user')
  data
    .command('export')
    .description('show all session data and user data of a user')
    .addOption(user())
    .addOption(json())
    .action(async (options) => (await load()).exportData(context, options))
  data
    .command('erase')
    .description('remove the same; who is signed in stays so')
    .addOption(user())
    .action(async (options) => (await load()).eraseData(context, options))
}

function issuerOption(): Option {
  return new Option('--issuer <url>', 'the issuer; else GATEPASS_ISSUER')
}

function addPeople(program: Command, context: CliContext): void {
  const load = () => import('./commands/login.ts')
  program
    .command('login [user-name]')
    .description('sign in from this terminal; the password is asked for, or on standard input')
    .addOption(issuerOption())
    .option('--client <id>', 'the client to sign in with; else the first one of the issuer')
    .option('--scope <scopes>', 'separated by spaces; else the default of the client')
    .action(async (name, options) => (await load()).login(context, name, options))
  program
    .command('logout')
    .description('end the session of this terminal everywhere')
    .addOption(issuerOption())
    .action(async (options) => (await load()).logout(context, options))
  program
    .command('token')
    .description('print an access token that is good for a while, refreshed if need be')
    .addOption(issuerOption())
    .action(async (options) => (await load()).printToken(context, options))
    .command('inspect [token]')
    .description('say what a token allows, or why it is refused ("-": from standard input)')
    .addOption(issuerOption())
    .option('--jwks <file>', 'the keys, from a file; then nothing is asked of any issuer')
    .option('--audience <name>', 'whom it must be for; else anybody')
    .addOption(json())
    .addHelpText(
      'after',
      `
Without a token it is the one of "gatepass login". It is sent nowhere: keys and revocations are
fetched, and compared here. Exits 0 when it is accepted, 1 when it is refused or could not be checked.`,
    )
    .action(async (token, _own, command) => {
      const { inspectToken } = await import('./commands/inspect.ts')
      await inspectToken(context, token, command.optsWithGlobals())
    })
}

function addMaintenance(program: Command, context: CliContext): void {
  program
    .command('migrate')
    .description('bring the schema of every store up to date')
    .action(async () => (await import('./commands/migrate.ts')).migrateStores(context))
  program
    .command('config')
    .description('show every effective setting, where it comes from, and its unit')
    .addOption(
      new Option('--role <role>', 'whose settings')
        .choices(['issuer', 'verifier'])
        .default('issuer'),
    )
    .addOption(json())
    .action(async (options) => (await import('./commands/config.ts')).showConfig(context, options))
}
