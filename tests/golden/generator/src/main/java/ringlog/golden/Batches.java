package ringlog.golden;

import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/** Record batches of every codec and kind, with the records Kafka reads back from them. */
final class Batches {
    private static final long NOW = 1_790_000_000_000L;

    private Batches() { }

    static void write(DataOutputStream out, Random random) throws IOException {
        for (CompressionType codec : CompressionType.values()) {
            Compression compression = Compression.of(codec).build();
            batch(out, codec.name + " one record", builder(compression, TimestampType.CREATE_TIME, 0, -1, -1, -1, false), 1, random);
            batch(out, codec.name + " forty records", builder(compression, TimestampType.CREATE_TIME, 0, -1, -1, -1, false), 40, random);
            batch(out, codec.name + " idempotent", builder(compression, TimestampType.CREATE_TIME, 0, 4711, 3, 17, false), 5, random);
            batch(out, codec.name + " transactional", builder(compression, TimestampType.CREATE_TIME, 0, 4712, 4, 0, true), 5, random);
            batch(out, codec.name + " log append time", builder(compression, TimestampType.LOG_APPEND_TIME, 1000, -1, -1, -1, false), 5, random);
            batch(out, codec.name + " wrapping sequence", builder(compression, TimestampType.CREATE_TIME, 0, 9, 0, Integer.MAX_VALUE - 1, false), 4, random);
        }
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
            records(out, "control " + type, MemoryRecords.withEndTransactionMarker(
                500, NOW, 7, 4712, (short) 4, new EndTransactionMarker(type, 12)));
        }
    }

    private static MemoryRecordsBuilder builder(
        Compression compression, TimestampType type, long base, long producer, int epoch, int sequence, boolean transactional
    ) {
        return MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE, compression, type, base,
            type == TimestampType.LOG_APPEND_TIME ? NOW + 77 : RecordBatch.NO_TIMESTAMP, producer, (short) epoch, sequence,
            transactional, 5);
    }

    private static void batch(DataOutputStream out, String name, MemoryRecordsBuilder builder, int count, Random random)
        throws IOException {
        for (int index = 0; index < count; index++) {
            byte[] key = random.nextInt(3) == 0 ? null : text(random, 20);
            byte[] value = random.nextInt(5) == 0 ? null : text(random, index == 0 ? 3000 : 200);
            Header[] headers = new Header[random.nextInt(3)];
            for (int header = 0; header < headers.length; header++) {
                headers[header] = new RecordHeader("h\u00e9" + random.nextInt(2), random.nextInt(3) == 0 ? null : text(random, 10));
            }
            builder.append(NOW + random.nextInt(100_000) - 50_000, key, value, headers);
        }
        records(out, name, builder.build());
    }

    private static byte[] text(Random random, int lengthMax) {
        StringBuilder text = new StringBuilder();
        for (int left = random.nextInt(lengthMax + 1); left > 0; left--) {
            text.append((char) ('a' + random.nextInt(6)));
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static void records(DataOutputStream out, String name, MemoryRecords records) throws IOException {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        RecordBatch batch = records.batches().iterator().next();
        Generate.block(out, name.getBytes(StandardCharsets.UTF_8));
        Generate.block(out, bytes);
        out.writeInt(batch.countOrNull());
        for (Record record : batch) {
            out.writeLong(record.offset());
            out.writeLong(record.timestamp());
            Generate.block(out, bytes(record.key()));
            Generate.block(out, bytes(record.value()));
            out.writeInt(record.headers().length);
            for (Header header : record.headers()) {
                Generate.block(out, header.key().getBytes(StandardCharsets.UTF_8));
                Generate.block(out, header.value());
            }
        }
    }

    private static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null) {
            return null;
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
