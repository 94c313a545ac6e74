//! How RocksDB is set up: small, careful, and with its memory bounded.

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

/// Blocks, indexes and filters of all devices of a process, together.
pub(super) const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Rows are read by the hundred: a listing's page of a thousand is a dozen blocks of this size, and their index is short.
const BLOCK_BYTES: usize = 16 * 1024;
/// A piece of an index or a filter. Whole, those of a large file are longer than a share of the cache, which then takes none of
/// them: every look at a key would read and check a megabyte.
const PIECE_BYTES: usize = 4 * 1024;
/// One memtable. RocksDB holds two, and writes one out while the other fills.
const MEMTABLE_BYTES: usize = 8 * 1024 * 1024;
/// Table files held open for one device; at 64 MiB each, listings of 16 GiB stay open whole.
const MAX_OPEN_FILES: i32 = 256;
/// The log is cut when it has this size, so that opening after a crash reads no more.
const MAX_LOG_BYTES: u64 = 32 * 1024 * 1024;
/// RocksDB's own text log: what it says, and for how long.
const INFO_LOG_BYTES: usize = 1024 * 1024;
const INFO_LOG_FILES: usize = 2;
/// A table file in which half of so many neighbouring keys are deletions is compacted soon, so that a listing after a
/// mass deletion does not step over them.
const DELETIONS_WINDOW: usize = 4096;

/// A cache for all devices of a process.
pub(super) fn cache() -> Cache {
    Cache::new_lru_cache(CACHE_BYTES)
}

pub(super) fn options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_paranoid_checks(true);
    // After a crash the log's last record may be torn: it was never acknowledged, and is left out.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(MAX_LOG_BYTES);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_skip_stats_update_on_db_open(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.add_compact_on_deletion_collector_factory(DELETIONS_WINDOW, DELETIONS_WINDOW / 2, 0.5);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(INFO_LOG_FILES);
    options.set_block_based_table_factory(&tables(cache));
    options
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(BLOCK_BYTES);
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables.set_metadata_block_size(PIECE_BYTES);
    tables.set_pin_top_level_index_and_filter(true);
    // Filters answer "no such row" for a new object without reading the disk.
    tables.set_bloom_filter(10.0, false);
    tables.set_optimize_filters_for_memory(true);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

#[cfg(test)]
mod tests {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
    use rocksdb::{DB, WriteBatch, WriteOptions};

    use super::*;

    /// Keys of one file, whose filter alone is longer than what the cache takes in one piece.
    const KEYS: u64 = 1_000_000;
    const LOOKS: u64 = 500;

    /// Spread over all keys that there can be.
    fn key(number: u64) -> [u8; 8] {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
    }

    fn read_by(looks: impl FnOnce()) -> u64 {
        let mut context = PerfContext::default();
        set_perf_stats(PerfStatsLevel::EnableCount);
        context.reset();
        looks();
        let read = context.metric(PerfMetric::BlockReadByte);
        set_perf_stats(PerfStatsLevel::Disable);
        read
    }

    #[test]
    fn a_look_for_a_new_row_reads_a_piece_and_not_a_filter_however_many_rows_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let rocks = DB::open(&options(&cache()), folder.path()).unwrap();
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        for first in (0..KEYS).step_by(10_000) {
            let mut batch = WriteBatch::default();
            (first..first + 10_000).for_each(|number| batch.put(key(number), b""));
            rocks.write_opt(batch, &unlogged).unwrap();
        }
        rocks.flush().unwrap();
        rocks.compact_range(None::<&[u8]>, None::<&[u8]>);
        let look = || (KEYS..KEYS + LOOKS).for_each(|number| assert_eq!(rocks.get(key(number)).unwrap(), None));
        let first = read_by(look);
        assert!(first <= LOOKS * 4 * PIECE_BYTES as u64, "{first} bytes read for {LOOKS} keys that are not there");
        assert_eq!(read_by(look), 0, "then all that they need is in the cache");
    }
}
