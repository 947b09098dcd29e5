import { Command, Option } from 'commander'
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
  const keys = program.command('keys').description('look at signing keys, rotate or revoke them')
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
    .command('disable <login-name>')
    .description('refuse further logins and end all sessions')
    .action(async (name) => (await load()).disableUser(context, name))
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
