import { createInterface } from 'node:readline/promises'
import { GatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'

const maxPasswordBytes = 4096

/** Reads a password: from the terminal without echo, or else from standard input. */
export async function readPassword(context: CliContext): Promise<string> {
  return context.stdin.isTTY ? askPassword(context) : readPiped(context.stdin)
}

/** Asks on the terminal, with echo. */
export async function askLine({ stdin, stderr }: CliContext, prompt: string): Promise<string> {
  const lines = createInterface({ input: stdin, output: stderr })
  try {
    return (await lines.question(prompt)).trim()
  } finally {
    lines.close()
  }
}

/** Reads standard input to its end, without the last line break. Stops reading after `maxBytes`. */
export async function readPiped(
  stdin: NodeJS.ReadStream,
  maxBytes = maxPasswordBytes,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    chunks.push(chunk as Buffer)
    length += (chunk as Buffer).length
    if (length > maxBytes) break
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}

function askPassword({ stdin, stderr }: CliContext): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed = ''
  const finish = () => {
    stdin.setRawMode(false).pause().off('data', onData)
    stderr.write('\n')
  }
  const onData = (data: Buffer) => {
    for (const character of data.toString('utf8')) {
      if (character === '\r' || character === '\n') {
        finish()
        resolve(typed)
        return
      }
      if (character === '\u0003') {
        finish()
        reject(new GatepassError('request_invalid', { detail: 'Cancelled.' }))
        return
      }
      typed = character === '\u007f' ? [...typed].slice(0, -1).join('') : typed + character
    }
  }
  stderr.write('Password: ')
  stdin.setRawMode(true).resume().on('data', onData)
  return promise
}
