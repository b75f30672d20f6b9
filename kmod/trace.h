/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints, in the order of a command's way. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sharq

#if !defined(SHARQ_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SHARQ_TRACE_H

#include <linux/tracepoint.h>

#include "provider.h"

/* clang-format off */

/* A kick consumed descriptors. */
TRACE_EVENT(sharq_kick,
	    TP_PROTO(const struct sharq_queue *q, u32 asked, int consumed),
	    TP_ARGS(q, asked, consumed),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u32, asked)
			     __field(int, consumed)),
	    TP_fast_assign(__entry->queue = q->id;
			   __entry->asked = asked;
			   __entry->consumed = consumed;),
	    TP_printk("queue=%llu asked=%u consumed=%d",
		      __entry->queue, __entry->asked, __entry->consumed)
);

/* A descriptor was checked. field: enum sharq_field, what is wrong with it. */
TRACE_EVENT(sharq_check,
	    TP_PROTO(const struct sharq_queue *q, const struct sharq_desc *desc,
		     unsigned int status, unsigned int field),
	    TP_ARGS(q, desc, status, field),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, user_data)
			     __field(u32, len)
			     __field(u16, flags)
			     __field(u8, op)
			     __field(u8, status)
			     __field(u8, field)),
	    TP_fast_assign(__entry->queue = q->id;
			   __entry->user_data = desc->user_data;
			   __entry->len = desc->len;
			   __entry->flags = desc->flags;
			   __entry->op = desc->op;
			   __entry->status = status;
			   __entry->field = field;),
	    TP_printk("queue=%llu user_data=%#llx op=%u flags=%#x len=%u status=%u field=%u",
		      __entry->queue, __entry->user_data, __entry->op,
		      __entry->flags, __entry->len, __entry->status,
		      __entry->field)
);

/* An operand was resolved. ret: sharq_mem_get()'s. */
TRACE_EVENT(sharq_map,
	    TP_PROTO(const struct sharq_queue *q, const struct sharq_buf *buf,
		     int ret),
	    TP_ARGS(q, buf, ret),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, addr)
			     __field(u32, len)
			     __field(u8, write)
			     __field(u8, kind)
			     __field(int, ret)),
	    TP_fast_assign(__entry->queue = q->id;
			   __entry->addr = buf->op.addr;
			   __entry->len = buf->op.len;
			   __entry->write = buf->op.write;
			   __entry->kind = buf->kind;
			   __entry->ret = ret;),
	    TP_printk("queue=%llu addr=%#llx len=%u write=%u kind=%s ret=%d",
		      __entry->queue, __entry->addr, __entry->len,
		      __entry->write,
		      __print_symbolic(__entry->kind,
				       { SHARQ_BUF_NONE, "none" },
				       { SHARQ_BUF_COPY, "copy" },
				       { SHARQ_BUF_PINNED, "pinned" },
				       { SHARQ_BUF_STAGED, "staged" }),
		      __entry->ret)
);

/* An operand can't be reached. */
TRACE_EVENT(sharq_fault,
	    TP_PROTO(const struct sharq_queue *q, u64 user_data, u64 addr,
		     bool write),
	    TP_ARGS(q, user_data, addr, write),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, user_data)
			     __field(u64, addr)
			     __field(bool, write)),
	    TP_fast_assign(__entry->queue = q->id;
			   __entry->user_data = user_data;
			   __entry->addr = addr;
			   __entry->write = write;),
	    TP_printk("queue=%llu user_data=%#llx addr=%#llx write=%d",
		      __entry->queue, __entry->user_data, __entry->addr,
		      __entry->write)
);

/* A command is accepted: from now on it takes part in the order of its queue. */
TRACE_EVENT(sharq_accept,
	    TP_PROTO(const struct sharq_request *r),
	    TP_ARGS(r),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, user_data)),
	    TP_fast_assign(__entry->queue = r->queue->id;
			   __entry->user_data = r->desc.user_data;),
	    TP_printk("queue=%llu user_data=%#llx",
		      __entry->queue, __entry->user_data)
);

/* A slice goes to the device. */
TRACE_EVENT(sharq_push,
	    TP_PROTO(const struct sharq_request *r, u32 budget),
	    TP_ARGS(r, budget),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, user_data)
			     __field(u32, device)
			     __field(u32, served)
			     __field(u32, budget)),
	    TP_fast_assign(__entry->queue = r->queue->id;
			   __entry->user_data = r->desc.user_data;
			   __entry->device = r->queue->dev->id;
			   __entry->served = r->served;
			   __entry->budget = budget;),
	    TP_printk("queue=%llu user_data=%#llx device=%u served=%u budget=%u",
		      __entry->queue, __entry->user_data, __entry->device,
		      __entry->served, __entry->budget)
);

/* A completion is posted. */
TRACE_EVENT(sharq_complete,
	    TP_PROTO(const struct sharq_queue *q, const struct sharq_cqe *cqe),
	    TP_ARGS(q, cqe),
	    TP_STRUCT__entry(__field(u64, queue)
			     __field(u64, user_data)
			     __field(u32, consumed)
			     __field(u32, produced)
			     __field(u16, status)),
	    TP_fast_assign(__entry->queue = q->id;
			   __entry->user_data = cqe->user_data;
			   __entry->consumed = cqe->consumed;
			   __entry->produced = cqe->produced;
			   __entry->status = cqe->status;),
	    TP_printk("queue=%llu user_data=%#llx status=%u consumed=%u produced=%u",
		      __entry->queue, __entry->user_data, __entry->status,
		      __entry->consumed, __entry->produced)
);

/* A device is reset, with so many slots taken. */
TRACE_EVENT(sharq_reset,
	    TP_PROTO(const struct sharq_device *dev, unsigned int busy),
	    TP_ARGS(dev, busy),
	    TP_STRUCT__entry(__field(u32, device)
			     __field(u32, busy)),
	    TP_fast_assign(__entry->device = dev->id;
			   __entry->busy = busy;),
	    TP_printk("device=%u busy=%u",
		      __entry->device, __entry->busy)
);

/* clang-format on */

#endif /* SHARQ_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
