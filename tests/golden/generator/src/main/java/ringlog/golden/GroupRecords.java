package ringlog.golden;

import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordHelpers;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.OffsetAndMetadata;
import org.apache.kafka.coordinator.group.generated.CoordinatorRecordType;
import org.apache.kafka.coordinator.group.generated.GroupMetadataKey;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue;
import org.apache.kafka.coordinator.group.generated.LegacyOffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.LegacyOffsetCommitValue;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;
import org.apache.kafka.server.common.ApiMessageAndVersion;

/** Records of __consumer_offsets of every type and version, and what Kafka writes for the same state today. */
final class GroupRecords {
    private static final int RANDOM_CASES = 5;
    /** As many members as a count of one byte cannot tell. */
    private static final int CROWD = 130;
    /** What GroupCoordinatorRecordHelpers writes; its method takes a whole group and orders the members anew. */
    private static final short GROUP_VERSION_WRITTEN = 3;
    private static final short FLEXIBLE_VERSION_MIN = 4;
    private static final GroupCoordinatorRecordSerde SERDE = new GroupCoordinatorRecordSerde();

    private final DataOutputStream out;
    private final Random random;

    GroupRecords(DataOutputStream out, Random random) {
        this.out = out;
        this.random = random;
    }

    void write() throws Exception {
        for (CoordinatorRecordType type : CoordinatorRecordType.values()) {
            tombstone(type);
            for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(); version++) {
                filled(type, version, new Filler(random, Filler.Mood.RANDOM));
                if (!isOurs(type)) {
                    continue;
                }
                for (Filler.Mood mood : List.of(Filler.Mood.EMPTY, Filler.Mood.NULL, Filler.Mood.LONG)) {
                    filled(type, version, new Filler(random, mood));
                }
                for (int index = 1; index < RANDOM_CASES; index++) {
                    filled(type, version, new Filler(random, Filler.Mood.RANDOM));
                }
                if (type == CoordinatorRecordType.GROUP_METADATA && version >= FLEXIBLE_VERSION_MIN) {
                    row(type, key(type, new Filler(random, Filler.Mood.RANDOM)), crowd(), version, false);
                }
            }
        }
    }

    private void tombstone(CoordinatorRecordType type) throws Exception {
        ApiMessage key = key(type, new Filler(random, Filler.Mood.RANDOM));
        out.writeShort(type.id());
        out.writeShort(-1);
        Generate.block(out, SERDE.serializeKey(CoordinatorRecord.tombstone(key)));
        Generate.block(out, null);
        Generate.block(out, null);
        today(isOurs(type) ? CoordinatorRecord.tombstone(keyWritten(key)) : null);
    }

    private void filled(CoordinatorRecordType type, short version, Filler filler) throws Exception {
        ApiMessage value = type.newRecordValue();
        value = (ApiMessage) filler.fill(value.getClass(), schema(value, version));
        if (value instanceof GroupMetadataValue) {
            timeoutsThatCanBe((GroupMetadataValue) value);
        }
        row(type, key(type, filler), value, version, isOurs(type) && version >= FLEXIBLE_VERSION_MIN);
    }

    private void row(CoordinatorRecordType type, ApiMessage key, ApiMessage value, short version, boolean tagged)
        throws Exception {
        CoordinatorRecord record = record(key, value, version);
        out.writeShort(type.id());
        out.writeShort(version);
        byte[] keyBytes = SERDE.serializeKey(record);
        byte[] valueBytes = SERDE.serializeValue(record);
        Generate.block(out, keyBytes);
        Generate.block(out, valueBytes);
        if (tagged) {
            new Filler(random, Filler.Mood.RANDOM).addUnknownTags(value, schema(value, version));
        }
        Generate.block(out, tagged ? SERDE.serializeValue(record) : null);
        today(isOurs(type) ? written(SERDE.deserialize(ByteBuffer.wrap(keyBytes), ByteBuffer.wrap(valueBytes))) : null);
    }

    private void today(CoordinatorRecord record) throws IOException {
        Generate.block(out, record == null ? null : SERDE.serializeKey(record));
        Generate.block(out, record == null || record.value() == null ? null : SERDE.serializeValue(record));
    }

    private static boolean isOurs(CoordinatorRecordType type) {
        return type.id() <= CoordinatorRecordType.GROUP_METADATA.id();
    }

    private static CoordinatorRecord record(ApiMessage key, ApiMessage value, short version) {
        return CoordinatorRecord.record(key, new ApiMessageAndVersion(value, version));
    }

    private static ApiMessage key(CoordinatorRecordType type, Filler filler) throws ReflectiveOperationException {
        ApiMessage key = type.newRecordKey();
        return (ApiMessage) filler.fill(key.getClass(), schema(key, key.highestSupportedVersion()));
    }

    private static Schema schema(Message message, short version) throws ReflectiveOperationException {
        return ((Schema[]) message.getClass().getField("SCHEMAS").get(null))[version];
    }

    private static ApiMessage keyWritten(ApiMessage key) {
        if (key instanceof LegacyOffsetCommitKey) {
            LegacyOffsetCommitKey old = (LegacyOffsetCommitKey) key;
            return new OffsetCommitKey().setGroup(old.group()).setTopic(old.topic()).setPartition(old.partition());
        }
        return key;
    }

    /** What Kafka writes for what it understood. */
    private static CoordinatorRecord written(CoordinatorRecord understood) {
        ApiMessage key = keyWritten(understood.key());
        ApiMessage value = understood.value().message();
        if (key instanceof GroupMetadataKey) {
            for (GroupMetadataValue.MemberMetadata member : ((GroupMetadataValue) value).members()) {
                if (member.rebalanceTimeout() == -1) {
                    member.setRebalanceTimeout(member.sessionTimeout());
                }
            }
            return record(key, value, GROUP_VERSION_WRITTEN);
        }
        OffsetCommitValue current = value instanceof LegacyOffsetCommitValue
            ? newer((LegacyOffsetCommitValue) value)
            : (OffsetCommitValue) value;
        OffsetCommitKey offset = (OffsetCommitKey) key;
        return GroupCoordinatorRecordHelpers.newOffsetCommitRecord(
            offset.group(), offset.topic(), offset.partition(), OffsetAndMetadata.fromRecord(0, current));
    }

    private static OffsetCommitValue newer(LegacyOffsetCommitValue old) {
        return new OffsetCommitValue()
            .setOffset(old.offset()).setMetadata(old.metadata()).setCommitTimestamp(old.commitTimestamp());
    }

    /** Timeouts are from 0 on, or -1 where a member did not say. */
    private void timeoutsThatCanBe(GroupMetadataValue group) {
        for (GroupMetadataValue.MemberMetadata member : group.members()) {
            member.setSessionTimeout(member.sessionTimeout() & Integer.MAX_VALUE);
            boolean silent = random.nextInt(4) == 0;
            member.setRebalanceTimeout(silent ? -1 : member.rebalanceTimeout() & Integer.MAX_VALUE);
        }
    }

    private static GroupMetadataValue crowd() {
        GroupMetadataValue group = new GroupMetadataValue().setProtocolType("consumer").setGeneration(7);
        for (int index = 0; index < CROWD; index++) {
            group.members().add(new GroupMetadataValue.MemberMetadata().setRebalanceTimeout(index));
        }
        return group;
    }
}
