package ringlog.golden;

import java.nio.ByteBuffer;

import org.apache.kafka.common.message.FetchRequestData;
import org.apache.kafka.common.message.MetadataRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.coordinator.common.runtime.Deserializer;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;

/** Asks Kafka's classes how they treat odd bytes; ../README.md lists what they answer. */
final class Facts {
    private Facts() { }

    static void check() {
        fact("bytes behind a body are ignored", true, () -> {
            ByteBuffer body = ByteBuffer.wrap(new byte[] {0, 0, 0, 0, 1, 9, 9, 9});
            AbstractRequest.parseRequest(ApiKeys.METADATA, (short) 4, new ByteBufferAccessor(body));
        });
        fact("a list count below -1 means null", true, () -> metadata(1, -2, -2, -2, -2));
        fact("null where it is not allowed is refused", false, () -> metadata(0, -1, -1, -1, -1));
        fact("text that is not UTF-8 is accepted", true, () -> metadata(1, 0, 0, 0, 1, 0, 1, 0xff));
        fact("a flag other than 0 and 1 is true", true, () -> {
            MetadataRequestData data = metadata(4, 0, 0, 0, 0, 7);
            if (!data.allowAutoTopicCreation()) {
                throw new IllegalStateException("false");
            }
        });
        fact("descending tags are accepted", true, () -> metadata(9, 1, 1, 0, 0, 2, 9, 0, 8, 0));
        fact("a repeated unknown tag is accepted", true, () -> metadata(9, 1, 1, 0, 0, 2, 9, 0, 9, 0));
        fact("a repeated known tag is accepted", true, () -> fetch(2, 0, 2, 2, 'a', 0, 2, 2, 'b'));
        fact("a known tag shorter than its size is accepted", true, () -> fetch(1, 0, 3, 2, 'a', 5));
        fact("a client id that is not there is null", true, () -> RequestHeader.parse(
            ByteBuffer.wrap(new byte[] {0, 18, 0, 0, 0, 0, 0, 1, -1, -1})));
        fact("bytes behind a group's record are ignored", true, () -> groupRecord(2, 3, 0, 0, 0, 0, 0, 1, -1, -1, -1, -1,
            0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 7, 7));
        fact("a version of a group's record nobody knows is refused", false, () -> groupRecord(1, 5, new int[40]));
        fact("a type of a group's record nobody knows is told apart", true, () -> {
            try {
                groupRecord(99, 0);
                throw new IllegalStateException("read");
            } catch (Deserializer.UnknownRecordTypeException known) {
                return;
            }
        });
        int[] longText = new int[32_800];
        System.arraycopy(new int[] {0x81, 0x80, 2}, 0, longText, 0, 3);
        fact("a text of a group's record beyond 32767 bytes is refused", false, () -> groupRecord(2, 4, longText));
    }

    private static MetadataRequestData metadata(int version, int... bytes) {
        return new MetadataRequestData(accessor(bytes), (short) version);
    }

    /** A fetch request of version 12 whose tag section is given. */
    private static FetchRequestData fetch(int... tags) {
        int[] bytes = new int[28 + tags.length];
        bytes[25] = 1;
        bytes[26] = 1;
        bytes[27] = 1;
        System.arraycopy(tags, 0, bytes, 28, tags.length);
        return new FetchRequestData(accessor(bytes), (short) 12);
    }

    /** A record of the group "g", or an offset of its topic "" and partition 0. */
    private static void groupRecord(int type, int version, int... value) {
        ByteBuffer key = ByteBuffer.allocate(11).putShort((short) type).putShort((short) 1).put((byte) 'g').rewind();
        ByteBuffer bytes = ByteBuffer.allocate(2 + value.length).putShort((short) version);
        for (int one : value) {
            bytes.put((byte) one);
        }
        new GroupCoordinatorRecordSerde().deserialize(key, bytes.flip());
    }

    private static ByteBufferAccessor accessor(int... bytes) {
        ByteBuffer buffer = ByteBuffer.allocate(bytes.length);
        for (int value : bytes) {
            buffer.put((byte) value);
        }
        return new ByteBufferAccessor(buffer.flip());
    }

    private static void fact(String claim, boolean accepted, Runnable attempt) {
        String outcome = "accepted";
        try {
            attempt.run();
        } catch (RuntimeException refused) {
            outcome = "refused: " + refused.getMessage();
        }
        if (outcome.equals("accepted") != accepted) {
            throw new IllegalStateException("not so: " + claim + " (" + outcome + ")");
        }
        System.out.println(claim + ": " + outcome);
    }
}
