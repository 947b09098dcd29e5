import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { startDaemon } from '../../support/daemon.ts'
import type { TestProcess } from '../../support/processes.ts'
import { readProjectFile } from '../../support/project.ts'
import { type Replacements, replaceTexts } from '../../support/replace-texts.ts'
import { createTestFolder } from '../../support/test-folder.ts'
import { type Call, clientOf } from './client.ts'
import { hostOf, startApplication, startVerifiers } from './servers.ts'
import { startServices } from './services.ts'

export interface ProxyExample {
  /** The folder of the example, below examples/forward-auth, and its files. */
  readonly folder: string
  readonly files: readonly string[]
  /** The command that starts it in the foreground, given where its files are. */
  readonly command: (folder: string) => readonly string[]
  /** Further replacements of texts in the files, for this machine. */
  readonly changes?: (folder: string) => Replacements
}

/** Starts a proxy with the files of its example, before two verifiers and an application. */
export async function startBehind(t: Test, proxy: ProxyExample) {
  const services = await startServices(t)
  const application = await startApplication(t, services)
  const verifiers = await startVerifiers(t)
  const { port, process } = await startExample(t, proxy, { verifiers, application })
  application.requests.length = 0
  verifiers.requests.length = 0
  return { application, services, verifiers, port, call: clientOf(port), process }
}

export type Behind = Awaited<ReturnType<typeof startBehind>>

interface BehindProxy {
  /** The ports of every verifier. */
  readonly verifiers: { readonly port: number; readonly adminPort: number }
  readonly application: { readonly address: string }
}

/** Starts a proxy with the files of its example, at a port of its own. */
export async function startExample(
  t: Test,
  proxy: ProxyExample,
  { verifiers, application }: BehindProxy,
) {
  const folder = createTestFolder(t)
  const port = await freePort()
  const changes = proxy.changes?.(folder) ?? {}
  const texts = proxy.files.map((file) => readProjectFile(join('examples', proxy.folder, file)))
  const absent = Object.keys(changes).filter((text) => !texts.join('').includes(text))
  t.same(absent, [], 'the example has each text that this machine replaces')
  writeExample(proxy, folder, {
    'verifier-1:4100': `${hostOf(0)}:${verifiers.port}`,
    'verifier-2:4100': `${hostOf(1)}:${verifiers.port}`,
    'port 4101': `port ${verifiers.adminPort}`,
    'application:3000': application.address,
    ...listeningAt(port),
    ...changes,
  })
  const process = await startProxy(t, proxy.command(folder), folder, clientOf(port))
  return { port, process }
}

/** Replaces the port 8080 of all addresses, in the syntax of each proxy. */
function listeningAt(port: number): Replacements {
  return {
    'listen 8080': `listen 127.0.0.1:${port}`,
    'Listen 8080': `Listen 127.0.0.1:${port}`,
    'bind :8080': `bind 127.0.0.1:${port}`,
    'http://:8080': `http://127.0.0.1:${port}`,
  }
}

/** Writes the files of an example, with texts replaced. */
export function writeExample(
  example: Pick<ProxyExample, 'folder' | 'files'>,
  folder: string,
  changes: Replacements,
): void {
  for (const file of example.files) {
    const text = readProjectFile(join('examples', example.folder, file))
    writeFileSync(join(folder, file), replaceTexts(text, changes))
  }
}

/** Starts a proxy, and waits until it answers the call that its client sends. */
export function startProxy(
  t: Test,
  command: readonly string[],
  folder: string,
  call: (call: Call) => Promise<unknown>,
): Promise<TestProcess> {
  mkdirSync(join(folder, 'home'))
  const env = { HOME: `${folder}/home` }
  return startDaemon(t, { command, cwd: folder, env, ready: () => call({ path: '/public/' }) })
}
