import t from 'tap'
import { startRedis } from '../../support/redis.ts'
import { counterStoreContract } from '../counter-store-contract.ts'
import { startCounters } from './counters.ts'

const server = await startRedis(t)
counterStoreContract(t, (t) => startCounters(t, server, server.url))
