import type { Send } from '../../../src/stores/memcached/node.ts'
import type { Command, Reply, ReplyCode } from '../../../src/stores/memcached/protocol.ts'

interface Item {
  readonly data: Buffer
  readonly flags: string
  readonly cas: string
}

/** A model of memcached for the commands of the store, without expiry. */
export class ModelMemcached {
  readonly items = new Map<string, Item>()
  #cas = 0

  /** @param pause waits before each command, so that commands of other calls run */
  sender(pause: () => Promise<unknown>): Send {
    return async (commands) => {
      const replies: Reply[] = []
      for (const command of commands) {
        await pause()
        replies.push(this.#answer(command))
      }
      return replies
    }
  }

  #answer({ head, data }: Command): Reply {
    const [name = '', key = '', ...flags] = head.split(' ')
    const item = this.items.get(key)
    if (name === 'mg') return get(item, flags)
    const cas = flags.find((flag) => flag.startsWith('C'))?.slice(1)
    if (item === undefined && (cas !== undefined || name === 'md')) return reply('NF')
    if (cas !== undefined && cas !== item?.cas) return reply('EX')
    if (name === 'md') this.items.delete(key)
    if (name === 'md') return reply('HD')
    if (flags.includes('ME') && item !== undefined) return reply('NS')
    this.#cas += 1
    const clientFlags = flags.find((flag) => flag.startsWith('F'))?.slice(1) ?? ''
    this.items.set(key, { data: data as Buffer, flags: clientFlags, cas: String(this.#cas) })
    return reply('HD')
  }
}

function get(item: Item | undefined, flags: readonly string[]): Reply {
  if (item === undefined) return reply('EN')
  const told: [string, string][] = [
    ['c', item.cas],
    ['f', item.flags],
  ]
  return flags.includes('v') ? reply('VA', told, item.data) : reply('HD', told)
}

function reply(code: ReplyCode, flags: [string, string][] = [], data: Buffer | null = null): Reply {
  return { code, flags: new Map(flags), data, message: '' }
}
