package ringlog.golden;

import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

/** Writes golden bytes with Kafka's own classes. The format of the files is described in ../README.md. */
public final class Generate {
    private static final long SEED = 20261124;
    private static final int RANDOM_CASES = 3;

    private static final List<ApiKeys> APIS = List.of(
        ApiKeys.PRODUCE, ApiKeys.FETCH, ApiKeys.LIST_OFFSETS, ApiKeys.METADATA, ApiKeys.OFFSET_COMMIT,
        ApiKeys.OFFSET_FETCH, ApiKeys.FIND_COORDINATOR, ApiKeys.JOIN_GROUP, ApiKeys.HEARTBEAT, ApiKeys.LEAVE_GROUP,
        ApiKeys.SYNC_GROUP, ApiKeys.DESCRIBE_GROUPS, ApiKeys.LIST_GROUPS, ApiKeys.SASL_HANDSHAKE,
        ApiKeys.API_VERSIONS, ApiKeys.CREATE_TOPICS, ApiKeys.DELETE_TOPICS, ApiKeys.DELETE_RECORDS,
        ApiKeys.INIT_PRODUCER_ID, ApiKeys.OFFSET_FOR_LEADER_EPOCH, ApiKeys.DESCRIBE_CONFIGS, ApiKeys.ALTER_CONFIGS,
        ApiKeys.DESCRIBE_LOG_DIRS, ApiKeys.SASL_AUTHENTICATE, ApiKeys.CREATE_PARTITIONS, ApiKeys.DELETE_GROUPS,
        ApiKeys.ELECT_LEADERS, ApiKeys.INCREMENTAL_ALTER_CONFIGS, ApiKeys.ALTER_PARTITION_REASSIGNMENTS,
        ApiKeys.LIST_PARTITION_REASSIGNMENTS, ApiKeys.OFFSET_DELETE, ApiKeys.DESCRIBE_CLUSTER,
        ApiKeys.LIST_CONFIG_RESOURCES, ApiKeys.DESCRIBE_TOPIC_PARTITIONS);

    private Generate() { }

    public static void main(String[] arguments) throws Exception {
        Path data = Path.of(arguments[0]);
        Files.createDirectories(data);
        for (ApiKeys api : APIS) {
            try (DataOutputStream out = file(data, api.name + ".bin")) {
                messages(api, "Request", out);
                messages(api, "Response", out);
            }
        }
        try (DataOutputStream out = file(data, "headers.bin")) {
            headers(out);
        }
        try (DataOutputStream out = file(data, "batches.bin")) {
            Batches.write(out, new Random(SEED));
        }
        Path core = Path.of(arguments[1]);
        Files.createDirectories(core);
        try (DataOutputStream out = file(core, "group_records.bin")) {
            new GroupRecords(out, new Random(SEED)).write();
        }
        Facts.check();
    }

    private static DataOutputStream file(Path data, String name) throws IOException {
        return new DataOutputStream(new java.io.BufferedOutputStream(Files.newOutputStream(data.resolve(name))));
    }

    private static void messages(ApiKeys api, String side, DataOutputStream out) throws Exception {
        Class<?> type = Class.forName("org.apache.kafka.common.message." + api.name + side + "Data");
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        short first = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
        for (short version = first; version < schemas.length; version++) {
            Random random = new Random(SEED + 1_000_003L * api.id + 1_009L * version + side.length());
            Schema schema = schemas[version];
            message(api, side, version, Filler.instance(type), schema, random, out);
            for (Filler.Mood mood : List.of(Filler.Mood.EMPTY, Filler.Mood.NULL, Filler.Mood.LONG)) {
                message(api, side, version, new Filler(random, mood).fill(type, schema), schema, random, out);
            }
            for (int index = 0; index < RANDOM_CASES; index++) {
                Message filled = new Filler(random, Filler.Mood.RANDOM).fill(type, schema);
                message(api, side, version, filled, schema, random, out);
            }
        }
    }

    private static void message(
        ApiKeys api, String side, short version, Message message, Schema schema, Random random, DataOutputStream out
    ) throws Exception {
        out.writeShort(api.id);
        out.writeByte(side.equals("Request") ? 0 : 1);
        out.writeShort(version);
        block(out, bytes(message, version));
        byte[] tagged = new byte[0];
        if (Arrays.stream(schema.fields()).map(field -> field.def.type).anyMatch(TaggedFields.class::isInstance)) {
            new Filler(random, Filler.Mood.RANDOM).addUnknownTags(message, schema);
            tagged = bytes(message, version);
        }
        block(out, tagged);
    }

    private static void headers(DataOutputStream out) throws Exception {
        Random random = new Random(SEED);
        for (ApiKeys api : APIS) {
            for (short version = api.messageType.lowestSupportedVersion();
                 version <= api.messageType.highestSupportedVersion(true); version++) {
                short headerVersion = api.requestHeaderVersion(version);
                String client = random.nextInt(4) == 0 ? null : "client-\u6f22-" + random.nextInt(1000);
                RequestHeaderData header = new RequestHeaderData()
                    .setRequestApiKey(api.id)
                    .setRequestApiVersion(version)
                    .setCorrelationId(random.nextInt())
                    .setClientId(client);
                byte[] plain = bytes(header, headerVersion);
                if (headerVersion >= 2) {
                    header.unknownTaggedFields().add(new RawTaggedField(3 + random.nextInt(500), new byte[random.nextInt(5)]));
                }
                ResponseHeaderData response = new ResponseHeaderData().setCorrelationId(header.correlationId());
                out.writeShort(api.id);
                out.writeShort(version);
                out.writeInt(header.correlationId());
                block(out, client == null ? null : client.getBytes(StandardCharsets.UTF_8));
                block(out, plain);
                block(out, bytes(header, headerVersion));
                block(out, bytes(response, api.responseHeaderVersion(version)));
            }
        }
    }

    static byte[] bytes(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static void block(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            out.write(bytes);
        }
    }
}
