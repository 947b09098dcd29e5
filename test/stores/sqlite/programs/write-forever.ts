// Writes numbers into a database, several at once, and prints each after it was acknowledged.
import { GatepassError } from '../../../../src/core/errors.ts'
import { SqliteDatabase } from '../../../../src/stores/sqlite/database.ts'

const [path = '', fillerBytes = '0', first = '1'] = process.argv.slice(2)
const writers = 8
const db = new SqliteDatabase(path, {
  name: 'numbers',
  migrations: [
    { name: 'numbers', sql: 'CREATE TABLE numbers (n INTEGER PRIMARY KEY, filler BLOB) STRICT' },
  ],
})
const insert = db.prepare('INSERT INTO numbers VALUES (?, zeroblob(?))')
let next = Number(first)

async function writeForever(): Promise<never> {
  for (;;) {
    const n = next++
    await untilAvailable(() => db.write(() => insert.run(n, Number(fillerBytes))))
    await new Promise((resolve) => process.stdout.write(`${n}\n`, resolve))
  }
}

/** Repeats a write while other processes keep the store busy. */
async function untilAvailable(write: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await write()
      return
    } catch (error) {
      if (!(error instanceof GatepassError) || error.code !== 'store_unavailable') throw error
    }
  }
}

await Promise.all(Array.from({ length: writers }, writeForever))
