package ringlog.golden;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

/** Fills Kafka's message objects with random values that one version of the message can carry. */
final class Filler {
    /** What kind of values a message gets. */
    enum Mood { EMPTY, NULL, RANDOM, LONG }

    private final Random random;
    private final Mood mood;

    Filler(Random random, Mood mood) {
        this.random = random;
        this.mood = mood;
    }

    /** A message or part, filled as the schema of its version allows. */
    Message fill(Class<?> type, Schema schema) throws ReflectiveOperationException {
        Message message = instance(type);
        for (BoundField bound : schema.fields()) {
            if (!(bound.def.type instanceof TaggedFields)) {
                set(message, bound.def.name, bound.def.type);
                continue;
            }
            for (var tagged : ((TaggedFields) bound.def.type).fields().values()) {
                if (mood == Mood.LONG || mood == Mood.RANDOM && random.nextBoolean()) {
                    set(message, tagged.name, tagged.type);
                }
            }
        }
        return message;
    }

    /** Adds tagged fields nobody knows to a message and its parts, in a flexible version. */
    void addUnknownTags(Message message, Schema schema) throws ReflectiveOperationException {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (var tagged : ((TaggedFields) bound.def.type).fields().values()) {
                    addUnknownTagsBelow(message, tagged.name, tagged.type);
                }
                int tag = 40;
                for (int count = random.nextInt(3); count >= 0; count--) {
                    tag += 1 + random.nextInt(200);
                    byte[] bytes = new byte[random.nextInt(4) == 0 ? 0 : random.nextInt(12)];
                    random.nextBytes(bytes);
                    message.unknownTaggedFields().add(new RawTaggedField(tag, bytes));
                }
            } else {
                addUnknownTagsBelow(message, bound.def.name, bound.def.type);
            }
        }
    }

    private void addUnknownTagsBelow(Message message, String name, Type type) throws ReflectiveOperationException {
        Schema schema = schemaOf(type);
        if (schema == null) {
            return;
        }
        Field field = field(message.getClass(), name);
        Object value = field.get(message);
        if (value instanceof Message) {
            // A part equal to its default is not written; unknown tags in it would change that.
            if (!value.equals(field.get(instance(message.getClass())))) {
                addUnknownTags((Message) value, schema);
            }
        } else if (value != null) {
            for (Object element : (Collection<?>) value) {
                addUnknownTags((Message) element, schema);
            }
        }
    }

    private static Schema schemaOf(Type type) {
        Type element = type.arrayElementType().orElse(type);
        return element instanceof Schema ? (Schema) element : null;
    }

    static Message instance(Class<?> type) throws ReflectiveOperationException {
        Constructor<?> constructor = type.getDeclaredConstructor();
        constructor.setAccessible(true);
        return (Message) constructor.newInstance();
    }

    private static Field field(Class<?> type, String snake) {
        for (Field field : type.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers()) && snake(field.getName()).equals(snake)) {
                field.setAccessible(true);
                return field;
            }
        }
        throw new IllegalStateException(type + " has no field " + snake);
    }

    private static String snake(String camel) {
        StringBuilder snake = new StringBuilder();
        boolean upperBefore = true;
        for (char letter : camel.toCharArray()) {
            boolean upper = Character.isUpperCase(letter);
            if (upper && !upperBefore) {
                snake.append('_');
            }
            upperBefore = upper;
            snake.append(Character.toLowerCase(letter));
        }
        return snake.toString();
    }

    private void set(Message message, String name, Type type) throws ReflectiveOperationException {
        Field field = field(message.getClass(), name);
        boolean asNull = type.isNullable() && (mood == Mood.NULL || mood == Mood.RANDOM && random.nextInt(4) == 0);
        field.set(message, asNull ? null : value(field, type));
    }

    private Object value(Field field, Type type) throws ReflectiveOperationException {
        Class<?> to = field.getType();
        if (type.arrayElementType().isPresent()) {
            return list(field, type.arrayElementType().get());
        }
        return scalar(to, type);
    }

    private Object list(Field field, Type element) throws ReflectiveOperationException {
        Class<?> to = field.getType();
        boolean plain = List.class.isAssignableFrom(to);
        ParameterizedType generic = (ParameterizedType) (plain ? field.getGenericType() : to.getGenericSuperclass());
        Class<?> of = (Class<?>) generic.getActualTypeArguments()[0];
        @SuppressWarnings("unchecked")
        Collection<Object> list = plain ? new ArrayList<>() : (Collection<Object>) to.getDeclaredConstructor().newInstance();
        int count = switch (mood) {
            case EMPTY -> 0;
            case NULL -> 1;
            case LONG -> of.getSimpleName().equals("Integer") ? 150 : 2;
            case RANDOM -> random.nextInt(4);
        };
        for (int index = 0; index < count; index++) {
            list.add(scalar(of, element));
        }
        return list;
    }

    private Object scalar(Class<?> to, Type type) throws ReflectiveOperationException {
        if (Message.class.isAssignableFrom(to)) {
            return fill(to, (Schema) type);
        }
        if (to == String.class) {
            return text();
        }
        if (to == byte[].class) {
            return bytes();
        }
        if (to == ByteBuffer.class) {
            return ByteBuffer.wrap(bytes());
        }
        if (BaseRecords.class.isAssignableFrom(to)) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
        }
        if (to == Uuid.class) {
            return mood == Mood.EMPTY ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        }
        if (to == boolean.class || to == Boolean.class) {
            return mood != Mood.EMPTY && random.nextBoolean();
        }
        if (to == double.class || to == Double.class) {
            return mood == Mood.EMPTY ? 0.0 : random.nextGaussian();
        }
        long number = number();
        if (to == byte.class || to == Byte.class) {
            return (byte) number;
        }
        if (to == short.class || to == Short.class) {
            return (short) number;
        }
        if (to == int.class || to == Integer.class) {
            return type.toString().equals("UINT16") ? (int) number & 0xffff : (int) number;
        }
        if (to == long.class || to == Long.class) {
            return type.toString().equals("UINT32") ? number & 0xffff_ffffL : number;
        }
        throw new IllegalStateException("no value for " + to);
    }

    private long number() {
        if (mood == Mood.EMPTY) {
            return 0;
        }
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> -1;
            case 2 -> Long.MAX_VALUE >>> random.nextInt(64);
            case 3 -> Long.MIN_VALUE >> random.nextInt(64);
            default -> random.nextLong();
        };
    }

    private byte[] bytes() {
        byte[] bytes = new byte[switch (mood) {
            case EMPTY, NULL -> 0;
            case LONG -> 200;
            case RANDOM -> random.nextInt(20);
        }];
        random.nextBytes(bytes);
        return bytes;
    }

    private String text() {
        String[] words = {"a", "topic-7", "_", ".", "\u0000", "\u00e9\u00df", "\u6f22\u5b57", "\ud83d\ude80", " ", "Z\u0301"};
        int count = switch (mood) {
            case EMPTY, NULL -> 0;
            case LONG -> 60;
            case RANDOM -> random.nextInt(5);
        };
        StringBuilder text = new StringBuilder();
        for (int index = 0; index < count; index++) {
            text.append(words[random.nextInt(words.length)]);
        }
        return text.toString();
    }

}
